"""Usage is sent as it was written, without being read again; what another process left is read first."""

import asyncio

import msgspec
import pytest

from gateway.contract import UsageBatch, UsageEventReport, decode, encode, v1_usage
from gateway.proxy import segments, uploader
from gateway.proxy.segments import event_line
from gateway.proxy.spool import Spool
from tests.gateway.test_proxy_spool import event
from tests.gateway.test_usage_for_older_consoles import sent


def as_written_by_version_1(one):
    return event_line(v1_usage.as_version_1(one))


def test_a_batch_is_the_records_as_they_were_written(tmp_path, monkeypatch):
    """Byte for byte what encoding the batch would give, without decoding anything."""

    def never(*_):
        raise AssertionError("a record was read")

    monkeypatch.setattr(segments, "_read_event", never)
    events = [event(model='\u0000 \n \u2028 "'), event(usage={}), event(first_token_ms=3, trace_id="t")]
    [(version, body)] = sent(tmp_path, *events, spoken=lambda: 2)
    assert (version, body) == ("2", encode(UsageBatch(events=events)))


def test_a_damaged_record_is_set_aside_and_the_others_are_sent(tmp_path):
    events = [event(model="a"), event(model="bbbbbbbb"), event(model="c")]
    [(_, body)] = sent(
        tmp_path, *events, spoken=lambda: 2, damage=lambda written: written.replace(b"bbbbbbbb", b"bbbbXbbb")
    )
    assert decode(UsageBatch, body).events == [events[0], events[2]]
    (aside,) = (tmp_path / "rejected").glob("*.corrupt")
    assert b"bbbbXbbb" in aside.read_bytes()


@pytest.mark.parametrize("spoken", [1, 2])
def test_what_an_earlier_version_left_is_sent_as_this_one(tmp_path, spoken):
    old, new = event(target_id="b-1"), event()
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / "000000000001.spool").write_bytes(as_written_by_version_1(old) + event_line(new))
    [(_, body)] = sent(tmp_path, spoken=lambda: spoken)
    batch = v1_usage.UsageBatch if spoken == 1 else UsageBatch
    told = decode(batch, body).events
    assert [one.call_id for one in told] == [old.call_id, new.call_id]
    if spoken == 2:
        assert (told[0].usage, told[0].target_id) == (old.usage, "b-1")


def test_neither_beginnings_nor_their_ends_are_sent(tmp_path):
    begun, voided, ended = event(status="cancelled"), event(), event()

    async def work():
        spool = Spool(tmp_path / "spool")
        spool.start()
        for one in (begun, voided, ended):
            await spool.begin(one, lambda: {"input": 3})
        spool.forget(voided.call_id)
        await spool.append(ended)
        await spool.checkpoint()
        found = segments.read_bodies(spool.oldest())
        await asyncio.to_thread(spool.close)
        return found

    found = asyncio.run(work())
    assert ([decode(UsageEventReport, one) for one in found.events], found.corrupt) == ([ended], [])


def test_a_rejected_record_that_no_reader_accepts_is_still_set_aside():
    impossible = encode(msgspec.structs.replace(event(call_id="the-call"), latency_ms=-1))
    assert uploader._read_name(impossible).call_id == "the-call"

import random
import threading
from contextvars import copy_context
from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from billing import ingest
from billing.ingest import record_usage
from billing.models import QuarantinedEvent, UsageEvent
from billing.usage import Receipt
from core.ids import uuid7
from core.scope import tenant_scope
from tests.billing.conftest import NOON, one, rows
from tests.databases import as_owner
from tests.factories import ApiKeyFactory, ProjectFactory


def test_a_call_becomes_an_event_and_both_rollups(call, prices):
    assert record_usage("gateway", [call()]) == Receipt(recorded=1)
    assert one("SELECT count(*) FROM usage_event") == 1
    assert one("SELECT calls FROM rollup_hour") == one("SELECT calls FROM rollup_day") == 1


def test_the_same_calls_again_change_nothing(call, prices):
    calls = [call() for _ in range(20)]
    assert record_usage("gateway", calls) == Receipt(recorded=20)
    before = rows("SELECT * FROM rollup_day")
    random.shuffle(calls)
    assert record_usage("gateway", calls) == Receipt(repeated=20)
    assert rows("SELECT * FROM rollup_day") == before


def test_new_and_repeated_calls_mixed_add_only_the_new(call, prices):
    old = [call() for _ in range(5)]
    record_usage("gateway", old)
    new = [call() for _ in range(5)]
    mixed = [new[0], *old, *new[1:], new[2]]
    assert record_usage("gateway", mixed) == Receipt(recorded=5, repeated=6)
    assert one("SELECT sum(calls) FROM rollup_day") == one("SELECT count(*) FROM usage_event") == 10


def test_the_same_id_at_another_time_is_not_a_second_call(call, prices):
    first = call()
    record_usage("gateway", [first])
    moved = first._replace(occurred_at=NOON - timedelta(days=40))
    assert record_usage("gateway", [moved]) == Receipt(quarantined=1)
    assert one("SELECT count(*) FROM usage_event") == 1


def test_the_same_id_of_another_source_is_another_call(call, prices):
    record_usage("gateway", [first := call()])
    assert record_usage("import", [first]) == Receipt(recorded=1)


def test_the_same_id_with_other_content_is_quarantined_and_never_billed(call, prices):
    first = call()
    contradiction = first._replace(usage={"output": 999_999})
    record_usage("gateway", [first])
    before = rows("SELECT * FROM rollup_day")
    # Sent again, it adds nothing to the quarantine either.
    for _ in range(2):
        assert record_usage("gateway", [contradiction, call(model="bree")]).quarantined == 1
    assert QuarantinedEvent.objects.across_tenants().count() == 1
    assert QuarantinedEvent.objects.across_tenants().get().reason == "conflicting_payload"
    assert QuarantinedEvent.objects.across_tenants().get().payload["usage"] == {"output": 999_999}
    assert (
        rows("SELECT * FROM rollup_day WHERE model_id = (SELECT id FROM billed_model WHERE name = 'aya')")
        == before
    )


def test_a_contradiction_inside_one_batch_is_quarantined(call, prices):
    first = call()
    assert record_usage("gateway", [first, first._replace(usage={"input": 1})]) == Receipt(
        recorded=1, quarantined=1
    )
    assert one("SELECT usage_count(usage, 'input') FROM usage_event") == 1000


def test_an_unknown_key_is_quarantined_and_holds_nothing_up(call, prices):
    stray = call(key_id=uuid7())
    assert record_usage("gateway", [call(), stray, call()]) == Receipt(recorded=2, quarantined=1)
    assert QuarantinedEvent.objects.across_tenants().get().reason == "unknown_key"
    assert record_usage("gateway", [stray]) == Receipt(quarantined=1)
    assert QuarantinedEvent.objects.across_tenants().count() == 1


def test_what_is_set_aside_is_the_tenants_whose_key_it_names(call, prices, lab):
    record_usage(
        "gateway",
        [first := call(), first._replace(usage={"input": 1}), call(output=-1), call(key_id=uuid7())],
    )
    record_usage("gateway", [call(key_id="no key at all")])
    whose = QuarantinedEvent.objects.across_tenants().values_list("reason", "tenant")
    assert len(whose) == 4
    assert set(whose) == {
        ("conflicting_payload", lab.pk),
        ("malformed", lab.pk),
        ("malformed", None),
        ("unknown_key", None),
    }
    with tenant_scope(lab.pk):
        assert one("SELECT count(*) FROM quarantined_event") == 2
    with tenant_scope(uuid7()):
        assert one("SELECT count(*) FROM quarantined_event") == 0


def test_malformed_calls_are_kept_with_the_reason(call, prices):
    bad = [
        call(input=-1),
        call(output="many"),
        call(output=1.5),
        call(input=2**70),
        call(event_id="not a uuid"),
        call(occurred_at=NOON.replace(tzinfo=None)),
        call(occurred_at=NOON.replace(year=2200)),
        call(status="perhaps"),
        call(model=""),
        call(model="m" * 121),
        call(model=None),
        # It would stand on pages of costs and in files.
        call(model="ay\u202ea"),
        call(model="aya\n"),
        call(model="a\u200bya"),
        call(request_id="\0"),
    ]
    assert record_usage("gateway", [*bad, call()]) == Receipt(recorded=1, quarantined=len(bad))
    assert set(QuarantinedEvent.objects.across_tenants().values_list("reason", flat=True)) == {"malformed"}
    assert all(QuarantinedEvent.objects.across_tenants().values_list("payload__problem", flat=True))


@pytest.mark.as_owner
def test_a_month_without_a_partition_gets_one(call, prices):
    record_usage("gateway", [call(occurred_at=NOON.replace(year=2021, month=2))])
    assert one("SELECT count(*) FROM usage_event_default") + one("SELECT count(*) FROM usage_event") >= 1


def test_the_default_partition_stays_empty(transactional_db, call, prices):
    record_usage("gateway", [call(occurred_at=NOON.replace(year=2022, month=3))])
    # The console reaches partitions through their table alone.
    with as_owner():
        assert one("SELECT count(*) FROM usage_event_2022_03") == 1
        assert one("SELECT count(*) FROM usage_event_default") == 0


def test_four_writers_at_once_record_every_call_once(transactional_db, lab, call, prices):
    keys = [ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab)) for _ in range(4)]
    calls = [
        call(
            key_id=keys[n % 4].pk,
            model=("aya", "bree")[n % 2],
            occurred_at=NOON + timedelta(minutes=7 * n),
            input=n,
        )
        for n in range(400)
    ]
    errors = []

    def write(seed: int) -> None:
        mine = calls * 2
        random.Random(seed).shuffle(mine)
        try:
            for start in range(0, len(mine), 40):
                record_usage("gateway", mine[start : start + 40])
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    before = one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    writers = [threading.Thread(target=copy_context().run, args=[write, seed]) for seed in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert errors == []
    assert one("SELECT count(*) FROM usage_event") == len(calls)
    assert one("SELECT usage_count(sum(usage), 'input') FROM rollup_hour") == sum(range(400))
    assert one("SELECT sum(calls) FROM rollup_day") == len(calls)
    assert one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") - before <= 5


def test_writers_of_different_calls_never_deadlock(transactional_db, lab, call, prices):
    keys = [ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab)) for _ in range(6)]

    def write(seed: int) -> None:
        chance = random.Random(seed)
        mine = [
            call(key_id=chance.choice(keys).pk, occurred_at=NOON + timedelta(hours=chance.randrange(60)))
            for _ in range(600)
        ]
        for start in range(0, len(mine), 60):
            ingest.record_batch("gateway", ingest.encode(mine[start : start + 60]))
        connection.close()

    writers = [threading.Thread(target=copy_context().run, args=[write, seed]) for seed in range(4)]
    before = one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert one("SELECT sum(calls) FROM rollup_hour") == 2400
    assert one("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == before


def test_a_connection_that_dies_in_the_middle_leaves_nothing(transactional_db, call, prices, monkeypatch):
    calls = [call() for _ in range(10)]
    original = ingest._Ingest.record

    def die(self, *arguments, **more):
        original(self, *arguments, **more)
        self.cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    monkeypatch.setattr(ingest._Ingest, "record", die)
    with pytest.raises(OperationalError):
        record_usage("gateway", calls)
    monkeypatch.undo()
    connection.close()
    assert UsageEvent.objects.across_tenants().count() == 0
    assert one("SELECT count(*) FROM event_key") == one("SELECT count(*) FROM rollup_day") == 0
    assert record_usage("gateway", calls) == Receipt(recorded=10)


def test_numbers_no_call_can_have_are_kept_aside_and_hold_nothing_up(call, prices):
    """Two such calls would overflow the rollup, and the gateway would send their batch for ever."""
    absurd = [call(output=2**62), call(output=2**62), call(input=2**63 - 1)]
    assert record_usage("gateway", [*absurd, call()]) == Receipt(recorded=1, quarantined=3)
    assert "more than" in QuarantinedEvent.objects.across_tenants().first().payload["problem"]
    assert record_usage("gateway", [call(output=10**9) for _ in range(20)]) == Receipt(recorded=20)


def test_ids_that_say_the_same_are_kept_once(call, prices):
    """A gateway's request id is the call's own, its backends are few, and most traces are W3C's."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    own, told = (
        call(target_id="b-1", trace_id=trace),
        call(target_id="b-2", trace_id="order 7", request_id="r-7"),
    )
    own = own._replace(request_id=str(own.event_id))
    assert record_usage("gateway", [own, told, call()]).recorded == 3
    assert sorted(
        rows(
            "SELECT b.name, e.request_id, e.trace_id::text, e.trace_text FROM usage_event e "
            "LEFT JOIN usage_target b ON b.id = e.target_id"
        ),
        key=str,
    ) == [
        ("b-1", None, "0af76519-16cd-43dd-8448-eb211c80319c", None),
        ("b-2", "r-7", None, "order 7"),
        (None, None, None, None),
    ]
    assert record_usage("gateway", [own._replace(target_id="b-2")]).quarantined == 1
    assert record_usage("gateway", [told._replace(trace_id="order 8")]).quarantined == 1
    assert record_usage("gateway", [own, told]).repeated == 2

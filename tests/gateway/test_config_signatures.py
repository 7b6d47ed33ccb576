"""A gateway with signing keys puts only genuine configuration in force, from the network and from its disk."""

import asyncio
import contextlib
import uuid

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.contract import ContractError
from gateway.contract.signatures import Pin, read_pins, seal_message
from gateway.contract.stream import Unpacker, compressed
from gateway.contract.usage import Ack
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_client import ConfigClient
from gateway.proxy.config_proof import Verifier
from gateway.proxy.config_reports import ConfigReports
from gateway.proxy.config_store import ConfigStore
from gateway.proxy.control import Control
from gateway.proxy.metrics import Metrics
from gateway.proxy.settings import SettingsError, read_settings
from gateway.proxy.vault import Vault
from tests.gateway.config_lines import (
    SECRETS,
    LinesControlPlane,
    changes,
    everything,
    in_version_1,
    key,
    models_of,
    signed,
)
from tests.gateway.proxy_fixtures import Gateway, wait_until
from tests.gateway.test_proxy_counting import ENVIRONMENT

INSTALLATION = str(uuid.UUID(int=7))
OLDER, NEWER, STRANGER = (Ed25519PrivateKey.generate() for _ in range(3))


def pin(private, installation=INSTALLATION):
    return Pin(installation, private.public_key().public_bytes_raw())


def verified(body, *pins, nonce="n", gateway="gw-test"):
    """The index of a gateway with these pins."""
    builder = IndexBuilder(None, proof=Verifier(pins, gateway).proof(nonce))
    for line in Unpacker().feed(body):
        builder.take(line)
    return builder.index()


def genuine(*keys, body=None, **fields):
    fields = {"installation": INSTALLATION, "nonce": "n", **fields}
    return signed(body or everything(3, key(0)), keys or [OLDER], **fields)


def changed_on_the_way(body, old, new):
    text = b"".join(line + b"\n" for line in Unpacker().feed(body))
    assert old in text
    return compressed(text.replace(old, new, 1))


def test_what_the_console_signed_is_accepted():
    assert models_of(verified(genuine(), pin(OLDER)))


def test_keys_overlap_while_they_are_rotated():
    both = genuine(OLDER, NEWER)
    for pins in ([pin(OLDER)], [pin(NEWER)], [pin(OLDER), pin(NEWER)], [pin(STRANGER), pin(NEWER)]):
        assert models_of(verified(both, *pins))
    with pytest.raises(ContractError, match="none of the keys"):
        verified(both, pin(STRANGER))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"revision":3', b'"revision":4'),
        (b'"state":"s3"', b'"state":"s4"'),
        (b'"slug":"lab"', b'"slug":"lob"'),
        (b'"grant_ends":{', b'"grant_ends":{"other":4102444800,'),
        (b'"key_id":"key-0"', b'"key_id":"key-1"'),
        (b'"routes":[]', b'"routes":[ ]'),
    ],
)
def test_not_a_byte_may_differ(old, new):
    body = changed_on_the_way(genuine(), old, new)
    with pytest.raises(ContractError, match=r"signature is wrong|different revision"):
        verified(body, pin(OLDER))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda: everything(3, key(0)), "not signed"),
        (lambda: in_version_1(everything(3, key(0))), "not signed"),
        (lambda: genuine(gateway="other"), "for gateway 'other'"),
        (lambda: genuine(nonce="yesterday"), "may be old"),
        (lambda: genuine(installation=str(uuid.UUID(int=8))), "none of the keys"),
        (lambda: genuine(STRANGER), "none of the keys"),
        (lambda: changed_on_the_way(genuine(), b'"gateway":"gw-test"', b'"gateway":"gw-tess"'), "gw-tess"),
    ],
    ids=[
        "unsigned",
        "version 1",
        "another gateway",
        "an old answer",
        "elsewhere",
        "a stranger",
        "relabelled",
    ],
)
def test_what_is_not_for_this_gateway_now_is_refused(body, words):
    with pytest.raises(ContractError, match=words):
        verified(body(), pin(OLDER))


def test_a_message_for_another_gateway_cannot_be_relabelled():
    body = changed_on_the_way(genuine(gateway="other"), b'"gateway":"other"', b'"gateway":"gw-test"')
    with pytest.raises(ContractError, match="signature is wrong"):
        verified(body, pin(OLDER))


def test_a_signature_under_the_fingerprint_of_another_key_is_refused():
    """Whoever has no key can still name one."""
    name = {private: pin(private).fingerprint.encode() for private in (OLDER, STRANGER)}
    body = changed_on_the_way(genuine(STRANGER), name[STRANGER], name[OLDER])
    with pytest.raises(ContractError, match="signature is wrong"):
        verified(body, pin(OLDER))


# --- the copy on disk ---


def load(directory, whole, *messages):
    (directory / "snapshot.json").write_bytes(whole)
    (directory / "snapshot.changes").write_bytes(b"".join(messages))
    return ConfigStore(directory / "snapshot.json", Verifier([pin(OLDER)], "gw-test")).load()


def test_the_copy_on_disk_is_checked_when_it_is_read(tmp_path):
    later = genuine(body=changes(3, keys=[key(1)]), nonce="another request")
    index = load(tmp_path, genuine(), later)
    assert (index.revision, models_of(index, 1)) == (4, models_of(index, 0))
    written = changed_on_the_way(later, b'"key_id":"key-1"', b'"key_id":"key-2"')
    assert load(tmp_path, genuine(), written).revision == 3, (
        "what was written into the changes does not count"
    )
    assert load(tmp_path, genuine(), changes(3, keys=[key(1)])).revision == 3
    with pytest.raises(ContractError, match="signature is wrong"):
        load(tmp_path, changed_on_the_way(genuine(), b'"slug":"lab"', b'"slug":"lob"'))
    with pytest.raises(ContractError, match="not signed"):
        load(
            tmp_path, b'{"revision": 9, "issued_at": "now", "keys": [], "routes": [], "contract_version": 2}'
        )


# --- over the network ---


class Pinned:
    """A client of the configuration with a pin, and what it reports."""

    def __init__(self, control, directory):
        self.control, self.file, self.applied, self.acks = control, directory / "snapshot.json", [], []

    def run(self, scenario):
        async def work():
            headers = {"authorization": f"Bearer {self.control.token}"}
            async with Control(self.control.url, headers) as control:
                vault, metrics = Vault(self.file.parent, None), Metrics()
                self.metrics = metrics
                self.reports = ConfigReports(control, "gw-test", self.describe, metrics)
                store = ConfigStore(self.file, Verifier([pin(OLDER)], "gw-test"))
                client = ConfigClient(control, store, self.applied.append, self.reports, metrics, vault)
                work = [asyncio.create_task(client.poll()), asyncio.create_task(self.reports.run())]
                try:
                    await scenario(self)
                finally:
                    for task in work:
                        task.cancel()
                        with contextlib.suppress(asyncio.CancelledError):
                            await task

        asyncio.run(work())

    def describe(self, problem, refused):
        revision = self.applied[-1].revision if self.applied else 0
        ack = Ack(
            revision=revision,
            started_at="now",
            spool_pending=0,
            counters={},
            version="1",
            problem=problem,
            refused=refused,
        )
        self.acks.append(ack)
        return ack

    async def until(self, claim, what):
        for _ in range(1500):
            if claim():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{what} did not happen")


@pytest.fixture
def pinned(tmp_path):
    control = LinesControlPlane()
    control.seals = seal
    control.up()
    yield Pinned(control, tmp_path)
    control.close()


def seal(message, nonce, *keys, gateway="gw-test"):
    return seal_message(message, keys or [OLDER], installation=INSTALLATION, gateway=gateway, nonce=nonce)


def sign(body, nonce):
    return genuine(body=body, nonce=nonce)


def test_a_changed_revision_is_refused_and_reported_and_the_last_good_one_stays(pinned):
    answers = pinned.control.answers
    pinned.control.on_the_way = sign
    answers[""] = 3, everything(3, key(0))

    async def scenario(one):
        await one.until(lambda: one.applied, "the first revision")
        one.control.on_the_way = lambda body, nonce: changed_on_the_way(
            sign(body, nonce), b'"key_id":"key-1"', b'"key_id":"key-9"'
        )
        answers[""] = answers["s3"] = 4, changes(3, keys=[key(1)])
        await one.until(lambda: any(ack.refused for ack in one.acks), "the report")
        refused = next(ack for ack in one.acks if ack.refused)
        assert (refused.revision, refused.refused.revision) == (3, 4)
        assert "signature is wrong" in refused.refused.reason
        assert refused.problem == refused.refused.reason
        assert [index.revision for index in one.applied] == [3]
        one.control.on_the_way = sign
        answers[""] = answers["s3"] = 4, everything(4, key(0), key(1))
        await one.until(lambda: one.applied[-1].revision == 4, "the genuine one")
        await one.until(
            lambda: not one.acks[-1].problem and not one.acks[-1].refused, "the end of the report"
        )

    pinned.run(scenario)


def test_an_answer_of_yesterday_is_refused(pinned):
    """A proxy between may keep a signed answer that still had a key, and send it after the key was revoked."""
    answers = pinned.control.answers
    kept = []

    def keep(body, nonce):
        kept.append(sign(body, nonce))
        return kept[-1]

    pinned.control.on_the_way = keep
    answers[""] = 3, everything(3, key(0))

    async def fetch(one):
        await one.until(lambda: one.applied, "the first revision")
        await one.until(one.file.exists, "its copy on the disk")

    pinned.run(fetch)
    pinned.applied.clear()
    pinned.file.unlink()
    pinned.control.on_the_way = lambda body, nonce: kept[0]

    async def replay(one):
        await one.until(lambda: "may be old" in one.reports.problem, "the refusal")
        assert one.applied == []

    pinned.run(replay)


def test_an_announced_revision_that_nobody_signed_stops_no_later_one(pinned):
    """The head alone starts a fetch before its signature can be checked."""
    answers = pinned.control.answers
    pinned.control.on_the_way = sign
    answers[""] = 3, everything(3, key(0))

    async def scenario(one):
        await one.until(lambda: one.applied, "the first revision")
        answers["s3"] = 10**12, everything(10**12, key(2))
        await one.until(lambda: (10**12 - 1, "") in one.control.asked, "the fetch of what was announced")
        one.control.newest = 4
        answers[""] = answers["s3"] = 4, changes(3, keys=[key(1)])
        await one.until(lambda: one.applied[-1].revision == 4, "the genuine one")

    pinned.run(scenario)


def test_a_process_says_that_it_refuses_and_keeps_serving(tmp_path):
    control = LinesControlPlane()
    control.seals = seal
    control.up()
    gateway = Gateway(control, tmp_path, GATEWAY_CONFIG_KEYS=f"{pin(NEWER)},{pin(OLDER)}")
    try:
        control.answers[""] = 3, everything(3, key(0))
        gateway.start(until_ready=False)

        def unready():
            answer = requests.get(f"{gateway.url}/readyz")
            return answer.status_code == 503 and "not signed" in answer.text

        wait_until(unready, what="the refusal of the first revision")
        control.on_the_way = sign
        wait_until(lambda: gateway.status("/readyz") == 200, what="the first revision")
        control.on_the_way = lambda body, nonce: body
        control.answers["s3"] = 4, changes(3, removed_keys=[key(0).digest])
        ready = wait_until(
            lambda: (found := requests.get(f"{gateway.url}/readyz").json())["problems"] and found,
            what="the problem",
        )
        assert (ready["status"], ready["revision"]) == ("ready", 3)
        assert "not signed" in ready["problems"][0]

        def ack():
            return next((one for one in list(control.acks) if one.refused and one.revision), None)

        told = wait_until(ack, what="the report")
        assert (told.revision, told.refused.revision) == (3, 4)
        assert told.signing_keys == [pin(NEWER).fingerprint, pin(OLDER).fingerprint]
        models = requests.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {SECRETS[0]}"})
        assert models.status_code == 200, "it serves the last good revision"
    finally:
        gateway.process.kill()
        control.close()


# --- settings ---


def test_keys_are_given_as_the_console_shows_them(tmp_path):
    both = f"{pin(OLDER)}, {pin(NEWER)}"
    assert read_settings(ENVIRONMENT | {"GATEWAY_CONFIG_KEYS": both}).config_keys == (pin(OLDER), pin(NEWER))
    file = tmp_path / "keys"
    file.write_text(f"{pin(OLDER)}\n{pin(NEWER)}\n")
    assert read_settings(ENVIRONMENT | {"GATEWAY_CONFIG_KEYS_FILE": str(file)}).config_keys == tuple(
        read_pins(both)
    )
    file.write_text("\n")
    with pytest.raises(SettingsError, match="without a signing key"):
        read_settings(ENVIRONMENT | {"GATEWAY_CONFIG_KEYS_FILE": str(file)})
    for wrong in ("abc", f"{INSTALLATION}:abc", str(pin(OLDER)).partition(":")[2], f"{INSTALLATION}:"):
        with pytest.raises(SettingsError, match="GATEWAY_CONFIG_KEYS cannot be used"):
            read_settings(ENVIRONMENT | {"GATEWAY_CONFIG_KEYS": wrong})

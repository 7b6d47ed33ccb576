"""The console signs what it sends to gateways, and its keys are rotated with overlap."""

import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.test import Client

from audit.models import AuditEntry
from core.errors import Conflict
from gateway import actions, signing, signing_actions
from gateway.contract import ContractError, decode
from gateway.contract.signatures import Seal, nothing_newer, read_pins, why_not_genuine
from gateway.contract.stream import CONFIG_TYPE, Unpacker
from gateway.contract.usage import Ack
from gateway.contract.versions import READABLE, VERSIONS_HEADER
from gateway.models import SigningKey
from gateway.proxy.config_build import IndexBuilder
from gateway.proxy.config_proof import Verifier
from tenants.revision import current_revision, raise_revision
from tests.concurrency import at_the_same_time
from tests.factories import staff
from tests.gateway.granted import registered

pytestmark = pytest.mark.django_db
NONCE = "of-this-request"


@pytest.fixture
def operator():
    return staff("operator")


def fetch(headers, after=0, state=""):
    """The bytes that a gateway of version 2 gets."""
    headers = {**headers, "accept": CONFIG_TYPE, VERSIONS_HEADER: READABLE, "x-config-nonce": NONCE}
    answer = Client().get("/internal/v1/config", {"after": after, "wait": 0, "state": state}, headers=headers)
    assert answer.status_code == 200
    return answer.getvalue()


def put_on(index, body, pins, name="gateway-1"):
    builder = IndexBuilder(index, proof=Verifier(pins, name).proof(NONCE))
    for line in Unpacker().feed(body):
        builder.take(line)
    return builder.index()


def acknowledged(gateway, *pins):
    """What the gateway says of itself when it was given these keys."""
    ack = Ack(
        revision=current_revision(),
        started_at="now",
        spool_pending=0,
        counters={},
        version="1",
        signing_keys=[pin.fingerprint for pin in pins],
    )
    actions.acknowledge(gateway, ack)


def test_everything_and_changes_are_signed_for_the_gateway_that_asks():
    raise_revision()
    _, headers = registered()
    _, others = registered("gateway-2")
    pins = signing.pins()
    assert len(pins) == 1, "the first registration made it"
    index = put_on(None, fetch(headers), pins)
    raise_revision(routing=True)
    changes = fetch(headers, index.revision, index.state)
    assert put_on(index, changes, pins).revision == index.revision + 1
    with pytest.raises(ContractError, match="gateway-2"):
        put_on(None, fetch(others), pins)


def test_that_nothing_is_newer_is_signed_for_the_gateway_that_asks():
    newest = raise_revision()
    _, headers = registered()
    ask = {**headers, "accept": CONFIG_TYPE, VERSIONS_HEADER: READABLE, "x-config-nonce": NONCE}
    answer = Client().get("/internal/v1/config", {"after": newest, "wait": 0}, headers=ask)
    seal = decode(Seal, answer["x-config-seal"].encode())
    assert answer.status_code == 204
    said = nothing_newer(2, newest, newest)
    assert why_not_genuine(said, seal, signing.pins(), "gateway-1", NONCE) == ""
    assert "may be old" in why_not_genuine(said, seal, signing.pins(), "gateway-1", "another")
    other = nothing_newer(2, newest + 1, newest)
    assert "signature is wrong" in why_not_genuine(other, seal, signing.pins(), "gateway-1", NONCE)


def test_keys_overlap_until_the_older_one_is_retired(operator):
    raise_revision()
    gateway, headers = registered()
    [older] = signing.pins()
    acknowledged(gateway, older)
    added = signing_actions.add_signing_key(by=operator)
    newer = signing.pin_of(added)
    for pin in (older, newer):
        assert put_on(None, fetch(headers), [pin])
    first = SigningKey.objects.in_use().first()
    with pytest.raises(Conflict, match="gateway-1"):
        signing_actions.retire_signing_key(first.pk, by=operator)
    acknowledged(gateway, older, newer)
    signing_actions.retire_signing_key(first.pk, by=operator)
    assert put_on(None, fetch(headers), [newer])
    with pytest.raises(ContractError, match="none of the keys"):
        put_on(None, fetch(headers), [older])
    with pytest.raises(Conflict, match="only key"):
        signing_actions.retire_signing_key(added.pk, by=operator)
    verbs = AuditEntry.objects.across_tenants().filter(verb__startswith="signing_key.")
    assert [entry.verb for entry in verbs.order_by("id")] == ["signing_key.added", "signing_key.retired"]


def test_a_gateway_that_checks_nothing_or_is_revoked_holds_nothing_up(operator):
    gateway, _ = registered()
    acknowledged(gateway)
    registered("gateway-2")
    dead, _ = registered("gateway-3")
    acknowledged(dead, *signing.pins())
    actions.revoke_gateway(dead.pk, by=operator)
    older = SigningKey.objects.in_use().first()
    signing_actions.add_signing_key(by=operator)
    assert signing_actions.retire_signing_key(older.pk, by=operator).retired_at


def test_the_private_half_is_encrypted_and_a_lost_one_signs_nothing(settings):
    raise_revision()
    _, headers = registered()
    pins = signing.pins()
    [key] = SigningKey.objects.all()
    assert len(bytes(key.private)) > 32
    assert bytes(key.public) not in bytes(key.private)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another" * 8, []
    with pytest.raises(ContractError, match="not signed"):
        put_on(None, fetch(headers), pins)


def test_only_operators_rotate_keys(operator):
    registered()
    [key] = SigningKey.objects.all()
    for action in (
        lambda by: signing_actions.add_signing_key(by=by),
        lambda by: signing_actions.retire_signing_key(key.pk, by=by),
    ):
        with pytest.raises((PermissionDenied, SigningKey.DoesNotExist)):
            action(staff("controller"))
    for _ in range(signing_actions.MOST_IN_USE - 1):
        signing_actions.add_signing_key(by=operator)
    with pytest.raises(Conflict, match="Retire one first"):
        signing_actions.add_signing_key(by=operator)


@pytest.mark.django_db(transaction=True)
def test_two_registrations_at_once_make_one_key():
    at_the_same_time(
        lambda: actions.register_gateway("one", by=None), lambda: actions.register_gateway("two", by=None)
    )
    assert SigningKey.objects.count() == 1


def test_the_command_writes_the_public_keys(tmp_path, monkeypatch):
    monkeypatch.delenv("GATEWAY_TOKEN", raising=False)
    file = tmp_path / "keys"
    call_command("register_gateway", "edge-1", token_file=tmp_path / "token", keys_file=file)
    assert read_pins(file.read_text()) == signing.pins()

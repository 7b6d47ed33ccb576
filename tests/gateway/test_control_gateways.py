"""Operators register gateways; gateways say what they serve; the clock's changes reach them too."""

import stat
from datetime import timedelta

import msgspec
import pytest
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils.timezone import now

from audit.models import AuditEntry
from core.errors import Conflict
from core.secrets import digest, looks_like, new_secret
from gateway import actions
from gateway.contract import GATEWAY_TOKEN, Ack, ack_path, encode
from gateway.models import ConfigClock, Gateway
from tenants.revision import current_revision, raise_revision
from tests.factories import CatalogModelFactory
from tests.gateway.granted import grant, key_for, registered


def test_an_operator_registers_a_gateway_and_sees_its_token_once(operator):
    gateway, secret = actions.register_gateway("edge-1", by=operator)
    assert looks_like(GATEWAY_TOKEN, secret)
    assert gateway.digest == digest(secret)
    line = AuditEntry.objects.across_tenants().get(verb="gateway.registered")
    assert (line.actor, line.details) == (operator, {"prefix": gateway.prefix})


def test_only_operators_manage_gateways(owner, security_reviewer):
    gateway, _ = registered()
    for person in (owner, security_reviewer):
        with pytest.raises(PermissionDenied):
            actions.register_gateway("edge-1", by=person)
        with pytest.raises((PermissionDenied, Gateway.DoesNotExist)):
            actions.revoke_gateway(gateway.pk, by=person)


def test_two_gateways_cannot_share_a_name(operator):
    actions.register_gateway("edge-1", by=operator)
    with pytest.raises(Conflict, match="another name"):
        actions.register_gateway("edge-1", by=operator)


def test_a_gateway_is_revoked_once(operator):
    gateway, _ = registered()
    actions.revoke_gateway(gateway.pk, by=operator)
    with pytest.raises(Conflict, match="already"):
        actions.revoke_gateway(gateway.pk, by=operator)


@pytest.mark.django_db
def test_the_command_can_be_repeated_and_keeps_the_token(tmp_path, capsys):
    file = tmp_path / "private" / "token"
    for _ in range(3):
        call_command("register_gateway", "edge-1", token_file=file)
    assert Gateway.objects.get().digest == digest(file.read_text().strip())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in capsys.readouterr().out
    assert AuditEntry.objects.across_tenants().filter(verb="gateway.registered").count() == 1


@pytest.mark.django_db
def test_the_command_takes_a_token_from_the_environment_and_another_one_replaces_it(monkeypatch):
    for _ in range(2):
        secret = new_secret(GATEWAY_TOKEN)
        monkeypatch.setenv("GATEWAY_TOKEN", secret)
        call_command("register_gateway", "edge-1")
        assert Gateway.objects.get().digest == digest(secret)
    monkeypatch.setenv("GATEWAY_TOKEN", "qmg_typo")
    with pytest.raises(CommandError, match="not a gateway token"):
        call_command("register_gateway", "edge-1")


@pytest.mark.django_db
def test_without_a_file_the_command_prints_a_new_token_once(capsys):
    call_command("register_gateway", "edge-1")
    assert Gateway.objects.get().digest == digest(capsys.readouterr().out.strip().rpartition(" ")[2])


def acknowledge(headers, name="gateway-1", **fields):
    ack = Ack(
        **{
            "revision": 0,
            "started_at": "2026-01-01T00:00:00Z",
            "spool_pending": 0,
            "counters": {"requests": 7},
            "version": "0.1.0",
        }
        | fields
    )
    return Client().post(ack_path(name), encode(ack), content_type="application/json", headers=headers)


@pytest.mark.django_db
def test_the_console_knows_which_revision_each_gateway_serves_and_how_it_is():
    gateway, headers = registered()
    newest = raise_revision()
    assert acknowledge(headers, revision=newest, spool_pending=5).status_code == 204
    gateway.refresh_from_db()
    assert (gateway.acknowledged_revision, gateway.spool_pending) == (newest, 5)
    assert gateway.report["counters"] == {"requests": 7}
    first = gateway.acknowledged_at
    acknowledge(headers, revision=newest)
    gateway.refresh_from_db()
    assert gateway.acknowledged_at == first, "when it first served this revision"
    assert gateway.last_seen_at > first


@pytest.mark.django_db
def test_a_revision_that_was_never_issued_is_refused_and_shown_to_operators():
    gateway, headers = registered()
    answer = acknowledge(headers, revision=current_revision() + 100)
    gateway.refresh_from_db()
    assert (answer.status_code, answer.json()["code"]) == (409, "revision_unknown")
    assert gateway.acknowledged_revision == 0
    assert "the newest here is" in gateway.report["problem"]


@pytest.mark.django_db
def test_a_gateway_speaks_for_itself_only():
    registered("gateway-2")
    _, headers = registered()
    assert acknowledge(headers, name="gateway-2").status_code == 403


@pytest.mark.django_db
def test_an_acknowledgement_that_is_none_is_400():
    _, headers = registered()
    answer = Client().post(
        ack_path("gateway-1"), b'{"revision": -1}', content_type="application/json", headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


@pytest.fixture
def swept(db):
    """Everything was announced a minute ago."""
    ConfigClock.objects.create(announced_until=now() - timedelta(minutes=1))


@pytest.mark.parametrize("date", ["valid_from", "valid_until"])
def test_a_grant_that_begins_or_ends_by_itself_is_announced_once(swept, project, date):
    grant(key_for(project), CatalogModelFactory(), **{date: now() - timedelta(seconds=30)})
    before = current_revision()
    assert actions.announce_what_the_clock_changed() == before + 1
    assert actions.announce_what_the_clock_changed() is None


def test_a_key_that_expired_is_announced(swept, project):
    key_for(project, expires_at=now() - timedelta(seconds=30))
    assert actions.announce_what_the_clock_changed() is not None


def test_what_began_long_ago_or_was_revoked_is_not_announced(swept, project):
    key = key_for(project, CatalogModelFactory(), expires_at=now() - timedelta(minutes=2))
    grant(key, CatalogModelFactory(), valid_until=now() - timedelta(seconds=30), revoked_at=now())
    assert actions.announce_what_the_clock_changed() is None


def test_the_page_of_a_litellm_proxy_says_what_it_cannot_promise(client, operator):
    ours, _ = registered("edge-1")
    theirs, _ = registered("edge-2")
    said = Ack(
        revision=0,
        started_at="2026-01-01T00:00:00Z",
        spool_pending=0,
        counters={},
        version="1",
        kind="litellm",
    )
    actions.acknowledge(theirs, said)
    actions.acknowledge(ours, msgspec.structs.replace(said, kind=msgspec.UNSET))
    client.force_login(operator)
    page = client.get(f"/admin/gateway/gateway/{theirs.pk}/change/").content.decode()
    assert "LiteLLM proxy with the Quartermaster plugin" in page
    assert "A client that hangs up before a plain answer is billed for the whole answer" in page
    page = client.get(f"/admin/gateway/gateway/{ours.pk}/change/").content.decode()
    assert "Quartermaster gateway" in page
    assert "hangs up" not in page
    listed = client.get("/admin/gateway/gateway/").content.decode()
    assert "LiteLLM proxy with the Quartermaster plugin" in listed

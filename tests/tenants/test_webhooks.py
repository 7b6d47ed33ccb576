"""Webhooks: signed, sent once, tried again, given up in the end, and no way into our own network."""

from __future__ import annotations

import base64
import hmac
import json
import time
from datetime import datetime, timedelta

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from accounts.models import OutboxMessage
from accounts.outbox.sending import send_mail_due
from audit.models import AuditEntry
from core.errors import Conflict
from tenants.actions import (
    add_webhook,
    change_webhook,
    create_project,
    disable_webhook,
    enable_webhook,
    rotate_webhook_secret,
    send_delivery_again,
    try_webhook,
)
from tenants.models import Webhook, WebhookDelivery
from tenants.webhooks import sending
from tenants.webhooks.sending import FAILING_FOR, MOST_ATTEMPTS, send_webhooks_due
from tenants.webhooks.signing import signature
from tests.factories import member_of
from tests.webhook_receiver import receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def loopback(settings):
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def there(loopback):
    with receiver() as server:
        yield server


@pytest.fixture
def hook(lab, owner, there):
    webhook, secret = add_webhook(lab, name="CI", url=there.url, events=["project.created"], by=owner)
    webhook.in_clear = secret
    return webhook


def happen(lab, owner, slug="letters"):
    """An event, and its delivery."""
    project = create_project(lab, slug=slug, name=slug.capitalize(), by=owner)
    return project, WebhookDelivery.objects.in_tenant(lab).filter(subject_id=str(project.pk)).first()


def due_now():
    WebhookDelivery.objects.across_tenants().waiting().update(due_at=now())


def verified(call, *secrets):
    """What a receiver does by the specification, with the standard library alone: the body, if a signature fits."""
    _, headers, body = call
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 60
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    fitting = 0
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
        fitting += f"v1,{expected}" in headers["webhook-signature"].split(" ")
    assert fitting == len(secrets)
    return json.loads(body)


def test_the_specifications_own_example_has_its_signature():
    body = b'{"test": 2432232314}'
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == expected


def test_what_happened_arrives_signed_and_once(lab, owner, hook, there):
    project, delivery = happen(lab, owner)
    assert send_webhooks_due() == 1
    assert send_webhooks_due() == 0
    (call,) = there.calls
    said = verified(call, hook.in_clear)
    assert call[0] == "/hook?token=t-1"
    assert call[1]["webhook-id"] == f"msg_{delivery.pk.hex}"
    assert (said["type"], said["data"]) == ("project.created", {"id": str(project.pk), "tenant": "lab"})
    assert datetime.fromisoformat(said["timestamp"]) == delivery.occurred_at.replace(
        microsecond=delivery.occurred_at.microsecond // 1000 * 1000
    )
    delivery.refresh_from_db()
    assert (delivery.state, delivery.status_code, delivery.attempts) == ("delivered", 204, 1)


def test_only_chosen_events_of_the_own_tenant_arrive(lab, owner, hook, stranger):
    elsewhere = stranger.memberships.get().tenant
    create_project(elsewhere, slug="theirs", name="Theirs", by=stranger)
    member_of(lab, "viewer")
    try_webhook(hook.pk, by=owner)
    assert list(WebhookDelivery.objects.across_tenants().values_list("event", flat=True)) == ["webhook.test"]


def test_the_old_secret_signs_until_its_time_is_over(lab, owner, hook, there):
    old = hook.in_clear
    _, new = rotate_webhook_secret(hook.pk, overlap_hours=1, by=owner)
    happen(lab, owner, "one")
    send_webhooks_due()
    verified(there.calls[0], new, old)
    Webhook.objects.across_tenants().update(old_secret_until=now())
    happen(lab, owner, "two")
    send_webhooks_due()
    verified(there.calls[1], new)
    assert " " not in there.calls[1][1]["webhook-signature"]


def test_no_secret_and_no_address_lies_open(lab, owner, hook):
    rotate_webhook_secret(hook.pk, overlap_hours=24, by=owner)
    change_webhook(hook.pk, name="CI", url=f"{hook.url}x", events=["grant.given"], by=owner)
    stored = Webhook.objects.across_tenants().get()
    assert hook.in_clear.encode() not in bytes(stored.secret) + bytes(stored.old_secret)
    log = str(list(AuditEntry.objects.across_tenants().values_list("details", "changes", "subject_label")))
    assert "whsec_" not in log
    assert "token" not in log
    assert "'address_changed': True" in log


class TestTrouble:
    def test_it_is_tried_again_later_with_the_same_id_and_another_time(self, lab, owner, hook, there):
        there.answer = 500
        _, delivery = happen(lab, owner)
        before = now()
        assert send_webhooks_due() == 0
        delivery.refresh_from_db()
        assert (delivery.state, delivery.status_code) == ("waiting", 500)
        assert timedelta(seconds=3) < delivery.due_at - before < timedelta(seconds=30)
        there.answer = 200
        due_now()
        assert send_webhooks_due() == 1
        assert there.calls[0][1]["webhook-id"] == there.calls[1][1]["webhook-id"]
        hook.refresh_from_db()
        assert hook.failing_since is None

    def test_retry_after_is_obeyed(self, lab, owner, hook, there):
        there.answer, there.headers = 429, {"retry-after": "7200"}
        _, delivery = happen(lab, owner)
        send_webhooks_due()
        delivery.refresh_from_db()
        assert delivery.due_at > now() + timedelta(seconds=7100)

    def test_what_else_waits_for_a_receiver_that_is_away_is_put_off(self, lab, owner, hook, there):
        there.answer = 503
        happen(lab, owner, "one")
        _, second = happen(lab, owner, "two")
        send_webhooks_due()
        assert len(there.calls) == 1
        second.refresh_from_db()
        assert second.attempts == 0
        assert second.due_at > now() + timedelta(minutes=4)

    def test_a_redirect_is_not_followed(self, lab, owner, hook, there):
        there.answer, there.headers = 307, {"location": there.url}
        _, delivery = happen(lab, owner)
        send_webhooks_due()
        delivery.refresh_from_db()
        assert len(there.calls) == 1
        assert delivery.problem.startswith("The receiver redirects (status 307)")

    def test_after_the_last_attempt_it_waits_for_a_person(self, lab, owner, hook, there):
        there.answer = 404
        _, delivery = happen(lab, owner)
        WebhookDelivery.objects.across_tenants().update(attempts=MOST_ATTEMPTS - 1)
        send_webhooks_due()
        delivery.refresh_from_db()
        assert (delivery.state, delivery.attempts) == ("failed", MOST_ATTEMPTS)
        there.answer = 200
        send_delivery_again(delivery.pk, by=owner)
        with pytest.raises(Conflict, match="still being sent"):
            send_delivery_again(delivery.pk, by=owner)
        assert send_webhooks_due() == 1
        assert there.calls[0][1]["webhook-id"] == there.calls[1][1]["webhook-id"]

    def test_failing_for_days_disables_it_and_tells_the_owner(self, lab, owner, hook, there, mailoutbox):
        there.answer = 500
        happen(lab, owner)
        Webhook.objects.across_tenants().update(failing_since=now() - FAILING_FOR)
        send_webhooks_due()
        hook.refresh_from_db()
        # Its first attempt may be bad luck.
        assert hook.state == "failing"
        WebhookDelivery.objects.across_tenants().update(attempts=2, due_at=now())
        send_webhooks_due()
        hook.refresh_from_db()
        assert (hook.state, hook.disabled_by) == ("disabled", "failing")
        assert not WebhookDelivery.objects.across_tenants().waiting().exists()
        send_mail_due()
        (mail,) = mailoutbox
        assert mail.to == [owner.email]
        assert "“CI”" in mail.subject
        assert f"/t/lab/webhooks/{hook.pk}/" in mail.body
        assert AuditEntry.objects.across_tenants().filter(verb="webhook.disabled", actor=None).count() == 1

    def test_gone_disables_it_at_once(self, lab, owner, hook, there):
        there.answer = 410
        happen(lab, owner)
        send_webhooks_due()
        hook.refresh_from_db()
        assert hook.disabled_by == "gone"
        assert OutboxMessage.objects.filter(event="webhook.disabled", user=owner).count() == 2

    def test_a_slow_receiver_holds_no_other_up(self, lab, owner, hook, there, monkeypatch):
        monkeypatch.setattr(sending, "SECONDS", 2.0)
        there.answer = lambda handler: time.sleep(3)
        happen(lab, owner, "one")
        with receiver() as quick:
            add_webhook(lab, name="Quick", url=quick.url, events=["project.created"], by=owner)
            for n in range(4):
                happen(lab, owner, f"more-{n}")
            arrived = []
            quick.answer = lambda handler: (arrived.append(time.monotonic()), handler.send_error(200))
            began = time.monotonic()
            assert send_webhooks_due() == 4
        assert len(arrived) == 4
        assert max(arrived) - began < 1.5
        assert len(there.calls) == 1

    def test_bytes_that_trickle_in_end_with_the_time(self, lab, owner, hook, there, monkeypatch):
        monkeypatch.setattr(sending, "SECONDS", 1.0)

        def trickle(handler):
            for _ in range(30):
                handler.wfile.write(b"H")
                time.sleep(0.1)

        there.answer = trickle
        _, delivery = happen(lab, owner)
        began = time.monotonic()
        send_webhooks_due()
        assert time.monotonic() - began < 2.5
        delivery.refresh_from_db()
        assert delivery.problem == "The receiver did not answer within 1 seconds."


class TestWhereItMayLead:
    @pytest.mark.parametrize(
        "url",
        [
            "http://hooks.example.com/",
            "https://127.0.0.1/",
            "https://10.1.2.3/hook",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://2130706433/",
            "https://user:pw@hooks.example.com/",
            "https://hooks.example.com:25/",
            "file:///etc/passwd",
            "https://hooks.example.com/a?b#c",
            "https://hooks.example.com/\r\nHost: x",
        ],
    )
    def test_addresses_that_may_not_be_are_no_addresses(self, lab, owner, url):
        with pytest.raises(ValidationError):
            add_webhook(lab, name="CI", url=url, events=["grant.given"], by=owner)

    def test_a_name_that_leads_inside_is_refused_when_it_is_sent(self, lab, owner, hook, settings, there):
        settings.WEBHOOK_NETWORKS = []
        Webhook.objects.across_tenants().update(url="https://localhost:8443/")
        _, delivery = happen(lab, owner)
        send_webhooks_due()
        delivery.refresh_from_db()
        assert delivery.problem == "The address leads to a network that webhooks may not reach (loopback)."
        assert there.calls == []


def test_the_receivers_of_one_tenant_leave_places_to_others(lab, owner, hook, there, stranger):
    for name in "ABC":
        add_webhook(lab, name=name, url=there.url, events=["project.created"], by=owner)
    happen(lab, owner)
    elsewhere = stranger.memberships.get().tenant
    add_webhook(elsewhere, name="CI", url=there.url, events=["project.created"], by=stranger)
    happen(elsewhere, stranger)
    running = []
    while one := sending.claim(running):
        running.append(one)
    assert [one.tenant for one in running] == [lab, lab, elsewhere]


def test_a_result_locks_the_webhook_before_its_delivery(lab, owner, hook, there):
    """As whoever deletes it does, so that neither waits for the other forever."""
    happen(lab, owner)
    delivery = sending.claim()
    with CaptureQueriesContext(connection) as queries:
        sending.record(delivery, sending.Outcome("away", is_receivers=True))
    locks = [one["sql"] for one in queries if "FOR NO KEY UPDATE" in one["sql"] or "UPDATE" in one["sql"][:6]]
    assert 'tenants_webhook"' in locks[0]
    assert "FOR NO KEY UPDATE" in locks[0]
    WebhookDelivery.objects.across_tenants().delete()
    Webhook.objects.across_tenants().delete()
    sending.record(delivery, sending.Outcome("away", is_receivers=True))


class TestWhoMayWhat:
    def test_members_who_do_not_manage_the_tenant_see_none(self, lab, hook, developer, stranger, owner):
        happen(lab, owner)
        for person in (developer, stranger):
            assert not Webhook.objects.visible_to(person).exists()
            assert not WebhookDelivery.objects.visible_to(person).exists()
            with pytest.raises(Webhook.DoesNotExist):
                disable_webhook(hook.pk, by=person)
        with pytest.raises(PermissionDenied):
            add_webhook(lab, name="CI", url="https://example.org/", events=["grant.given"], by=developer)

    def test_disabled_ones_are_sent_nothing_until_they_are_enabled(self, lab, owner, hook, there):
        _, waiting = happen(lab, owner, "before")
        disable_webhook(hook.pk, by=owner)
        assert happen(lab, owner, "meanwhile")[1] is None
        assert send_webhooks_due() == 0
        with pytest.raises(Conflict, match="disabled"):
            send_delivery_again(waiting.pk, by=owner)
        enable_webhook(hook.pk, by=owner)
        send_delivery_again(waiting.pk, by=owner)
        assert send_webhooks_due() == 1
        assert not OutboxMessage.objects.exists()


def test_old_deliveries_go_and_waiting_ones_stay(lab, owner, hook, settings):
    for slug in ("old", "new", "waiting"):
        happen(lab, owner, slug)
    old, new, _ = WebhookDelivery.objects.in_tenant(lab).order_by("pk")
    for one, days in ((old, settings.OUTBOX_DAYS + 1), (new, 1)):
        one.state, one.settled_at = "delivered", now() - timedelta(days=days)
        one.save()
    assert sending.clear_settled_deliveries() == 1
    assert WebhookDelivery.objects.in_tenant(lab).count() == 2


def test_pages_show_the_secret_once_and_what_was_sent(client, lab, owner, there):
    client.force_login(owner)
    assert "No webhooks yet" in client.get("/t/lab/webhooks/").content.decode()
    wrong = client.post(
        "/t/lab/webhooks/new/", {"name": "CI", "url": "https://10.0.0.1/", "events": "grant.given"}
    )
    assert wrong.status_code == 422
    assert "Webhooks reach public addresses only" in wrong.content.decode()
    said = {"name": "CI", "url": there.url, "events": ["project.created"]}
    made = client.post("/t/lab/webhooks/new/", said)
    assert "whsec_" in made.content.decode()
    assert "no-store" in made["Cache-Control"]
    hook = Webhook.objects.in_tenant(lab).get()
    page = f"/t/lab/webhooks/{hook.pk}/"
    there.answer = 500
    client.post(f"{page}test/")
    send_webhooks_due()
    shown = client.get(page).content.decode()
    assert "The receiver answered with status 500." in shown
    assert f"whsec_…{hook.hint}" in shown
    disable_webhook(hook.pk, by=owner)
    assert "A person disabled it" in client.get(page).content.decode()
    for path in ("edit/", "rotate/", "delete/", "disable/"):
        assert client.get(f"{page}{path}").status_code == 200, path

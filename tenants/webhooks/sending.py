"""Sending what waits for webhooks. A message to the queue is a hint, the row is the truth.

One worker sends at a time, to up to AT_ONCE receivers side by side and to each receiver one after the other. A receiver
that answers slowly holds one of these places for SECONDS; all that waits for it is then put off, so that it takes one
place each PUT_OFF. All receivers of a tenant hold at most AT_ONCE_OF_TENANT places, however slowly they answer, so that
no tenant holds up others. Mail has a sender of its own (accounts/outbox/sending.py).

An attempt claims one row: it counts itself, and moves the row's next attempt behind the longest time it can take. Only
the latest attempt can record its result. What was sent and not yet recorded when a process died is sent again, with the
same `webhook-id`.
"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections import Counter
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from accounts.outbox.sending import only_sender
from accounts.stored_sentences import SENDER_DIED
from core.egress import EgressRefused, Networks, post, read_endpoint, read_networks
from core.encryption import CannotDecrypt
from core.scope import platform_scope
from tenants.models import Webhook, WebhookDelivery
from tenants.stored_sentences import (
    ADDRESS_IS_CLOSED,
    RECEIVER_ANSWERED,
    RECEIVER_IS_AWAY,
    RECEIVER_IS_SLOW,
    RECEIVER_REDIRECTS,
    SECRET_IS_LOST,
    WEBHOOK_IS_DISABLED,
)
from tenants.webhooks.disabling import disable
from tenants.webhooks.signing import opened, signed_headers

log = structlog.get_logger(__name__)
State = WebhookDelivery.State

# For one receiver, without the look-up of its name.
SECONDS: Final = 15.0
AT_ONCE: Final = 8
AT_ONCE_OF_TENANT: Final = 2
# Longer than an attempt takes, with the slowest look-up of a name.
LEASE: Final = timedelta(minutes=5)
# Seconds after which a task begins no attempt any more and leaves the rest to the next one.
LONGEST_RUN: Final = 240
# Before the second attempt, the third, and so on, as the specification proposes: the last one begins after three days.
WAITS: Final = (
    timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=5),
    timedelta(hours=10), timedelta(hours=14), timedelta(hours=20), timedelta(hours=24),
)  # fmt: skip
MOST_ATTEMPTS: Final = len(WAITS) + 1
# So that what failed together is not tried again together.
JITTER: Final = 0.2
LONGEST_RETRY_AFTER: Final = timedelta(hours=24)
# Everything else for a receiver that is away or overloaded.
PUT_OFF: Final = timedelta(minutes=5)
# A webhook that has failed for so long without a success is disabled,
FAILING_FOR: Final = timedelta(days=5)
# by an attempt that is not one of the first for its event.
PATIENT_ATTEMPTS: Final = 3
SWEPT_AT_ONCE: Final = 5000


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt. Without a problem, the receiver has it."""

    problem: str = ""
    status: int | None = None
    milliseconds: int | None = None
    retry_after: timedelta = timedelta(0)
    # The receiver is away or overloaded, so nothing else for it would arrive now.
    is_receivers: bool = False


def networks() -> Networks:
    """The networks beyond the public Internet that operators allow webhooks to reach."""
    return read_networks(settings.WEBHOOK_NETWORKS)


def send_webhooks_due() -> int:
    """Send what is due, and return how many receivers took it; 0 if another worker is at it."""
    sent, ends_at = 0, time.monotonic() + LONGEST_RUN
    while True:
        with only_sender("tenants.send_webhooks_due") as is_ours:
            if not is_ours:
                return sent
            sent += _send_until(ends_at)
        # Whoever queued something after the last look was turned away while we held the lock.
        if time.monotonic() >= ends_at or not _is_any_due():
            return sent


def _send_until(ends_at: float) -> int:
    sent = 0
    running: dict[Future[Outcome], WebhookDelivery] = {}
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
        while True:
            while len(running) < AT_ONCE and time.monotonic() < ends_at:
                delivery = claim(running.values())
                if delivery is None:
                    break
                # The thread knows no database.
                running[pool.submit(attempt, delivery)] = delivery
            if not running:
                return sent
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for one in done:
                outcome = one.result()
                record(running.pop(one), outcome)
                sent += not outcome.problem


def _due() -> QuerySet[WebhookDelivery]:
    return WebhookDelivery.objects.across_tenants().waiting().filter(due_at__lte=now()).order_by("due_at")


def _is_any_due() -> bool:
    with platform_scope("whether a delivery is due", is_routine=True), transaction.atomic():
        return _due().select_for_update(skip_locked=True, of=("self",)).first() is not None


def claim(running: Collection[WebhookDelivery] = ()) -> WebhookDelivery | None:
    """Take the next delivery that is due for one attempt; None if there is none.

    Not to a webhook of what is `running`, and not of a tenant that holds all its places.
    """
    busy = {one.webhook_id for one in running}
    places = Counter(one.tenant_id for one in running)
    full = [tenant for tenant, held in places.items() if held >= AT_ONCE_OF_TENANT]
    while True:
        with platform_scope("a delivery that is due", is_routine=True), transaction.atomic():
            due = (
                _due().exclude(webhook__in=busy).exclude(tenant__in=full).select_related("webhook", "tenant")
            )
            delivery = due.select_for_update(skip_locked=True, of=("self",)).first()
            if delivery is None:
                return None
            if delivery.webhook.disabled_at is not None:
                # It was queued while somebody disabled the webhook.
                _settle(delivery, State.FAILED, WEBHOOK_IS_DISABLED())
            elif delivery.attempts >= MOST_ATTEMPTS:
                _settle(delivery, State.FAILED, SENDER_DIED())
            else:
                delivery.attempts += 1
                delivery.due_at = now() + LEASE
                delivery.save(update_fields=["attempts", "due_at"])
                return delivery


def body_of(delivery: WebhookDelivery) -> bytes:
    """What the receiver is sent: which event, when, and the id to ask the API for. No names, no words."""
    happened = delivery.occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data = {"id": delivery.subject_id, "tenant": delivery.tenant.slug}
    document = {"type": delivery.event, "timestamp": happened, "data": data}
    return json.dumps(document, separators=(",", ":")).encode()


def message_id(delivery: WebhookDelivery) -> str:
    """The `webhook-id` of every attempt, by which receivers recognize what they have already."""
    return f"msg_{delivery.pk.hex}"


def attempt(delivery: WebhookDelivery) -> Outcome:
    """Send one delivery once. Asks no database, and raises nothing: what went wrong is in the outcome."""
    webhook, at = delivery.webhook, now()
    try:
        secrets = [opened(webhook.secret)]
        if webhook.old_secret is not None and webhook.has_old_secret(at):
            secrets.append(opened(webhook.old_secret))
        body = body_of(delivery)
        headers = signed_headers(secrets, message_id(delivery), at, body)
        allowed = networks()
        reply = post(read_endpoint(webhook.url, allowed), body, headers, allowed, seconds=SECONDS)
    except CannotDecrypt:
        return Outcome(SECRET_IS_LOST())
    except EgressRefused as refused:
        return Outcome(ADDRESS_IS_CLOSED(code=refused.code))
    except TimeoutError:
        return Outcome(RECEIVER_IS_SLOW(seconds=f"{SECONDS:g}"), is_receivers=True)
    except (OSError, http.client.HTTPException) as error:
        return Outcome(RECEIVER_IS_AWAY(kind=type(error).__name__), is_receivers=True)
    except Exception as error:
        # Nobody foresaw it: a fault of ours, which a later release may mend.
        log.exception("delivery_not_attempted", delivery=str(delivery.pk))
        return Outcome(RECEIVER_IS_AWAY(kind=type(error).__name__))
    if 200 <= reply.status < 300:
        return Outcome(status=reply.status, milliseconds=reply.milliseconds)
    says = RECEIVER_REDIRECTS if 300 <= reply.status < 400 else RECEIVER_ANSWERED
    return Outcome(
        says(status=reply.status),
        reply.status,
        reply.milliseconds,
        _seconds_in(reply.retry_after),
        is_receivers=reply.status >= 500 or reply.status == 429,
    )


def _seconds_in(retry_after: str) -> timedelta:
    """A number of seconds, up to a day; nothing for the form with a date, which few send."""
    is_number = retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 9
    return min(timedelta(seconds=int(retry_after)), LONGEST_RETRY_AFTER) if is_number else timedelta(0)


def record(delivery: WebhookDelivery, outcome: Outcome) -> None:
    """Record the result of an attempt on the delivery and its webhook; not if a later attempt has begun."""
    with platform_scope("what became of a delivery", is_routine=True), transaction.atomic():
        # The webhook before its deliveries, as whoever disables or deletes it locks them.
        webhook = (
            Webhook.objects.across_tenants()
            .select_for_update(of=("self",), no_key=True)
            .filter(pk=delivery.webhook_id)
            .first()
        )
        if webhook is None:
            return
        delivery.status_code, delivery.milliseconds = outcome.status, outcome.milliseconds
        if not outcome.problem:
            if _settle(delivery, State.DELIVERED) and webhook.failing_since is not None:
                webhook.failing_since = None
                webhook.save(update_fields=["failing_since"])
            return
        log.warning("delivery_not_taken", delivery=str(delivery.pk), problem=outcome.problem)
        if delivery.attempts >= MOST_ATTEMPTS:
            is_ours = _settle(delivery, State.FAILED, outcome.problem)
        else:
            is_ours = _postpone(delivery, outcome)
        if is_ours:
            _note_failure(webhook, delivery, outcome)


def _mine(delivery: WebhookDelivery) -> QuerySet[WebhookDelivery]:
    waiting = WebhookDelivery.objects.across_tenants().waiting()
    return waiting.filter(pk=delivery.pk, attempts=delivery.attempts)


def _settle(delivery: WebhookDelivery, state: str, problem: str = "") -> bool:
    """Whether this was still the latest attempt."""
    return bool(
        _mine(delivery).update(
            state=state,
            problem=problem,
            settled_at=now(),
            status_code=delivery.status_code,
            milliseconds=delivery.milliseconds,
        )
    )


def _postpone(delivery: WebhookDelivery, outcome: Outcome) -> bool:
    """Let a delivery wait for its next attempt. Whether this was still the latest one."""
    usual = WAITS[delivery.attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 (no secret)
    return bool(
        _mine(delivery).update(
            problem=outcome.problem,
            due_at=now() + max(usual, outcome.retry_after),
            status_code=outcome.status,
            milliseconds=outcome.milliseconds,
        )
    )


def _note_failure(webhook: Webhook, delivery: WebhookDelivery, outcome: Outcome) -> None:
    """Note on the webhook, which is locked, that it fails; put off what else waits for it, or disable it."""
    if webhook.failing_since is None:
        webhook.failing_since = now()
        webhook.save(update_fields=["failing_since"])
    has_lasted = now() - webhook.failing_since >= FAILING_FOR and delivery.attempts >= PATIENT_ATTEMPTS
    if outcome.status == http.HTTPStatus.GONE:
        disable(webhook, Webhook.Off.GONE)
    elif has_lasted:
        disable(webhook, Webhook.Off.FAILING)
    elif outcome.is_receivers:
        others = WebhookDelivery.objects.across_tenants().waiting().filter(webhook=webhook)
        until = now() + max(PUT_OFF, outcome.retry_after)
        others.exclude(pk=delivery.pk).filter(due_at__lt=until).update(due_at=until)


def clear_settled_deliveries() -> int:
    """Delete deliveries that were settled OUTBOX_DAYS ago; return how many. Safe to repeat."""
    before = now() - timedelta(days=settings.OUTBOX_DAYS)
    with platform_scope("sweep of settled deliveries"):
        old = WebhookDelivery.objects.across_tenants().filter(settled_at__lt=before).order_by("settled_at")
        gone = 0
        while True:
            some = list(old.values_list("pk", flat=True)[:SWEPT_AT_ONCE])
            gone += WebhookDelivery.objects.across_tenants().filter(pk__in=some).delete()[0]
            if len(some) < SWEPT_AT_ONCE:
                return gone

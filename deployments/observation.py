"""Saves what a cluster shows: the deployment's state, and the addresses below its target."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.utils.timezone import now

import audit
from core.names import clean_name
from deployments.cluster.base import ConditionType, Observed
from deployments.judgment import SAVED_FIELDS, judge
from deployments.models import Deployment, Route, Target, TargetAddress
from deployments.stored_sentences import PUT_BACK
from tenants.revision import raise_revision

log = structlog.get_logger(__name__)

State = Deployment.State

LOOK_AGAIN_SETTLED = timedelta(seconds=60)
LOOK_AGAIN_UNSETTLED = timedelta(seconds=10)
# Longer than the task's own retries take together.
LOOK_AGAIN_UNREACHABLE = timedelta(seconds=60)
LOOK_AGAIN_REFUSED = timedelta(minutes=15)
DRIFT_SHOWN = timedelta(days=1)
# Repeated drift of the same kind gets one audit entry an hour.
DRIFT_AUDITED_EVERY = timedelta(hours=1)

# Characters of a condition's message.
LONGEST_TEXT = 2000

# Our own condition types, beside those of deployments.cluster.base.
ACCEPTED = "Accepted"
REACHABLE = "Reachable"
DRIFT_HEALED = "DriftHealed"

Conditions = list[dict[str, str]]


def record(wanted: Deployment, observed: Observed | None, *, is_applied: bool = False) -> bool:
    """Save what the cluster shows of `wanted`; None means that it holds nothing of that name.

    `is_applied` says that `wanted`, its program included, was applied to the cluster just before.

    Raises the configuration revision if the addresses that serve the model have changed. Changes that someone else
    made in the cluster, and that were put back, become a condition for a day and an audit entry. Returns False, and
    saves nothing, if the desired state has changed meanwhile: then another reconciliation follows.
    """
    drift = drift_in(wanted, observed)
    return _write(
        wanted,
        state=state_of(wanted, observed),
        conditions=conditions_of(wanted, observed, drift),
        drift=drift,
        ready_replicas=observed.ready_replicas if observed else 0,
        look_again=LOOK_AGAIN_SETTLED if _is_settled(wanted, observed) else LOOK_AGAIN_UNSETTLED,
        is_program_known=is_applied and _is_settled(wanted, observed),
        endpoints=observed.endpoints if observed else (),
    )


def record_refusal(wanted: Deployment, reason: str) -> bool:
    """Save that the cluster will never accept `wanted` as it is, and why. What ran before keeps running."""
    return _write(
        wanted,
        state=State.DEGRADED if wanted.ready_replicas else State.DOWN,
        conditions=[_condition(ACCEPTED, "False", "Refused", reason)],
        ready_replicas=wanted.ready_replicas,
        look_again=LOOK_AGAIN_REFUSED,
        endpoints=None,
    )


def record_quota(wanted: Deployment, reason: str) -> bool:
    """Save that a quota keeps the cluster from accepting `wanted`. It is tried again every minute."""
    return _write(
        wanted,
        state=State.DEGRADED if wanted.ready_replicas else State.DOWN,
        conditions=[_condition(ConditionType.QUOTA_EXCEEDED, "True", "ExceededQuota", reason)],
        ready_replicas=wanted.ready_replicas,
        look_again=LOOK_AGAIN_UNREACHABLE,
        endpoints=None,
        is_observed=False,
    )


def record_unreachable(wanted: Deployment, reason: str) -> bool:
    """Save that the cluster does not answer: the last observation may be out of date."""
    others = [condition for condition in wanted.conditions if condition["type"] != REACHABLE]
    return _write(
        wanted,
        state=State.DEGRADED if wanted.state == State.HEALTHY else wanted.state,
        conditions=[_condition(REACHABLE, "Unknown", "ClusterAway", reason), *others],
        ready_replicas=wanted.ready_replicas,
        look_again=LOOK_AGAIN_UNREACHABLE,
        endpoints=None,
        is_observed=False,
    )


def is_news(wanted: Deployment, observed: Observed | None) -> bool:
    """Whether `record` would change more than the time of observation. Makes no query."""
    endpoints = observed.endpoints if observed else ()
    return (
        wanted.observed_generation != wanted.generation
        or wanted.state != state_of(wanted, observed)
        or wanted.conditions != conditions_of(wanted, observed)
        or wanted.ready_replicas != (observed.ready_replicas if observed else 0)
        or _followed(wanted, {backend_url(endpoint) for endpoint in endpoints}) is not None
    )


def is_refused(deployment: Deployment) -> bool:
    """Whether the cluster refused the desired state, so that only a person can change anything."""
    return any(
        condition["type"] == ACCEPTED and condition["status"] == "False"
        for condition in deployment.conditions
    )


def state_of(wanted: Deployment, observed: Observed | None) -> str:
    """One word for operators. `conditions` say why."""
    if wanted.is_deleted:
        return State.DELETED if observed is None else State.DOWN
    if observed is None:
        return State.DOWN if _was_ready(wanted) else State.STARTING
    if observed.is_settled:
        # Also when zero replicas are desired: the observed state is the desired one.
        return State.HEALTHY
    if observed.ready_replicas == 0:
        return State.DOWN if observed.problems or _was_ready(wanted) else State.STARTING
    if observed.problems or observed.ready_replicas < wanted.replicas:
        return State.DEGRADED
    # Enough replicas serve, but some are not up to date.
    return State.STARTING


def drift_in(wanted: Deployment, observed: Observed | None) -> str:
    """What someone changed in the cluster since this generation was last ready; "" if nothing."""
    if observed is None or wanted.is_deleted:
        return ""
    if observed.is_created and _was_ready(wanted) and not is_refused(wanted):
        return "Deployment: deleted, created again"
    return clean_name("; ".join(observed.put_back))


def conditions_of(wanted: Deployment, observed: Observed | None, drift: str = "") -> Conditions:
    """The cluster's conditions, and for a day what was put back there."""
    conditions = [_condition(**asdict(condition)) for condition in observed.conditions] if observed else []
    if drift:
        conditions.append(_drift_condition(drift, now()))
    elif wanted.drift_at and now() - wanted.drift_at < DRIFT_SHOWN and not wanted.is_deleted:
        conditions.append(_drift_condition(wanted.drift, wanted.drift_at))
    return conditions


def _drift_condition(drift: str, at: datetime) -> dict[str, str]:
    message = PUT_BACK(at=f"{at:%Y-%m-%d %H:%M}", what=drift)
    return _condition(DRIFT_HEALED, "True", "ChangedInCluster", message)


def backend_url(endpoint: str) -> str:
    """The URL at which gateways call an engine whose base address is `endpoint`."""
    return f"{endpoint}/v1"


def _was_ready(wanted: Deployment) -> bool:
    """True if this generation was ready before; zero replicas then means it went down."""
    return wanted.observed_generation == wanted.generation and wanted.state in (
        State.HEALTHY,
        State.DEGRADED,
        State.DOWN,
    )


def _is_settled(wanted: Deployment, observed: Observed | None) -> bool:
    return state_of(wanted, observed) in (State.HEALTHY, State.DELETED)


def _condition(type: str, status: str, reason: str, message: str) -> dict[str, str]:
    """A condition with cleaned texts. They come from clusters, or from whatever answers in their place, and no page or
    database takes them raw."""
    said = {"type": type, "status": status, "reason": reason, "message": message}
    return {field: clean_name(str(text)[:LONGEST_TEXT]) for field, text in said.items()}


@transaction.atomic
def _write(
    wanted: Deployment,
    *,
    state: str,
    conditions: Conditions,
    ready_replicas: int,
    look_again: timedelta,
    endpoints: Iterable[str] | None,
    is_observed: bool = True,
    is_program_known: bool = False,
    drift: str = "",
) -> bool:
    """`endpoints` None leaves the addresses as they are; `is_program_known`: only its version's program runs."""
    row = Deployment.objects.select_for_update().filter(pk=wanted.pk, generation=wanted.generation).first()
    if row is None:
        return False
    before, row.state = row.state, state
    row.conditions, row.ready_replicas = conditions, ready_replicas
    row.next_look_at = now() + look_again
    has_news = False
    if is_observed:
        row.observed_generation, row.observed_at = row.generation, now()
        if is_program_known:
            row.applied_image, row.applied_command = wanted.version.image, wanted.version.command
        has_news = judge(row)
    if drift:
        _audit_drift(row, drift)
        row.drift, row.drift_at = drift[:600], now()
    row.save(
        update_fields=[
            "state",
            "conditions",
            "ready_replicas",
            "next_look_at",
            "observed_generation",
            "observed_at",
            "drift",
            "drift_at",
            "applied_image",
            "applied_command",
            *SAVED_FIELDS,
        ]
    )
    if state != before:
        _record_state(row, before)
    new = (
        _follow(wanted, {backend_url(endpoint) for endpoint in endpoints}) if endpoints is not None else None
    )
    if has_news or new is not None:
        revision = raise_revision(routing=True)
        if has_news:
            Target.objects.filter(deployment=row).update(revision=revision)
        TargetAddress.objects.filter(pk__in=new or ()).update(revision=revision)
        log.info("route.changed", deployment=row.name, revision=revision)
    return True


def _audit_drift(before: Deployment, drift: str) -> None:
    is_known = before.drift == drift[:600] and before.drift_at is not None
    if is_known and before.drift_at and now() - before.drift_at < DRIFT_AUDITED_EVERY:
        return
    audit.record("deployment.drift_healed", actor=None, subject=before, put_back=drift)
    log.warning("deployment.drift_healed", deployment=before.name, put_back=drift)


def _record_state(deployment: Deployment, before: str) -> None:
    reason = "; ".join(
        condition["message"] for condition in deployment.conditions if condition["status"] != "False"
    )
    audit.record(
        "deployment.state_changed",
        actor=None,
        subject=deployment,
        changes={"state": (before, deployment.state)},
        reason=reason,
    )
    log.info(
        "deployment.state_changed",
        deployment=deployment.name,
        before=before,
        after=deployment.state,
        reason=reason,
    )


def _followed(wanted: Deployment, urls: set[str]) -> set[str] | None:
    """The addresses that the target of `wanted` should have; None if it has them. Makes no query.

    An address whose engine is gone leaves, unless it is the last that serves the model while its deployment is
    still desired. For an address that fails, a gateway answers 503, which clients try again; for a model
    without any, 404, which they do not.
    """
    if wanted.urls == urls:
        return None
    is_wanted = wanted.replicas > 0 and not wanted.is_deleted
    if not urls and is_wanted and not wanted.has_substitute:
        return None
    return urls


def _follow(wanted: Deployment, urls: set[str]) -> list[UUID] | None:
    """Set the addresses of the deployment's target to `urls`; return the ids of new ones, or None if nothing changed.

    Weights and order are in the entries of routes, which this never touches.
    """
    # Deployments of one model take turns.
    list(Route.objects.select_for_update().filter(model=wanted.version.model_id).values_list("pk"))
    current = Deployment.objects.with_names().get(pk=wanted.pk)
    # The desired state is that of the reconciliation.
    current.replicas, current.is_deleted = wanted.replicas, wanted.is_deleted
    should_be = _followed(current, urls)
    if should_be is None:
        return None
    current.target.addresses.filter(url__in=current.urls - should_be).delete()
    new = sorted(should_be - current.urls)
    # An address belongs to one engine: on this cluster, the engine that had it before is gone.
    TargetAddress.objects.filter(url__in=new, target__deployment__cluster=wanted.cluster).delete()
    made = TargetAddress.objects.bulk_create(TargetAddress(target=current.target, url=url) for url in new)
    return [address.pk for address in made]

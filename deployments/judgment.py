"""Judges engines by what is known now, and notifies gateways when a judgment has changed.

Pages, the API and each compiled configuration judge a deployment when they read it (`Deployment.facts`). Gateways
request another configuration only when its revision grows. So this module records a judgment that has changed, by an
upgrade of the console or a change of the program, and raises the revision.
"""

from __future__ import annotations

import structlog
from django.db import transaction
from django.utils.timezone import now

import audit
from deployments.announcements import announce_sharing
from deployments.models import Deployment

log = structlog.get_logger(__name__)

JUDGED_FIELDS = ("runtime", "cache_key_field", "is_prefix_cache_off")
# The caller of `judge` saves these.
SAVED_FIELDS = (*JUDGED_FIELDS, "statement_lapsed_at")


def judge(row: Deployment) -> bool:
    """Set on `row`, unsaved, what is known of its engine now; return whether gateways must know. Safe to repeat."""
    before = {name: getattr(row, name) for name in JUDGED_FIELDS}
    facts = row.facts
    after = {name: getattr(facts, name) for name in JUDGED_FIELDS}
    has_lapsed = _has_lapsed(row)
    if has_lapsed:
        row.statement_lapsed_at = now()
        field = row.stated_field
        audit.record(
            "deployment.separation_lapsed", actor=None, subject=row, field=field, image=row.version.image
        )
        log.warning("deployment.separation_lapsed", deployment=row.name, field=field)
    if before == after:
        return has_lapsed
    for name, value in after.items():
        setattr(row, name, value)
    if before | {"runtime": ""} != after | {"runtime": ""}:
        changes = {name: (before[name], after[name]) for name in JUDGED_FIELDS}
        audit.record("deployment.judged_anew", actor=None, subject=row, changes=changes)
        log.warning("deployment.judged_anew", deployment=row.name, before=before, after=after)
    return True


def judge_all() -> int:
    """Judge all living deployments, and raise the revision if one has news; return how many had. Safe to repeat.

    It contacts no cluster, so that an engine on a cluster that is away does not keep an old judgment.
    """
    living = Deployment.objects.living().select_related("version")
    return sum(_judge_again(row) for row in living if _is_outdated(row))


def _has_lapsed(row: Deployment) -> bool:
    """Whether a statement is about a program other than the desired one, and its lapse is not recorded yet."""
    return bool(row.stated_field) and row.statement_lapsed_at is None and not row.is_statement_in_force


def _is_outdated(row: Deployment) -> bool:
    return _has_lapsed(row) or any(getattr(row, name) != getattr(row.facts, name) for name in JUDGED_FIELDS)


@transaction.atomic
def _judge_again(stale: Deployment) -> bool:
    rows = Deployment.objects.living().select_related("version").select_for_update(of=("self",))
    row = rows.filter(pk=stale.pk).first()
    if row is None or not judge(row):
        return False
    row.save(update_fields=SAVED_FIELDS)
    announce_sharing(row)
    return True

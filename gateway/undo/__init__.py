"""What a revision of the configuration changed, and undoing it: the actions behind it, done the other way round.

Nothing old is written back. Each action that has an inverse is undone by that inverse, with its own permission check,
its own audit entry and a new revision; one that has none is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

import audit
from accounts.declared import action
from accounts.models import User
from audit.models import AuditEntry
from audit.recording import LONGEST_TEXT
from core.errors import Conflict
from deployments.provider_actions import set_allowed_networks
from deployments.provider_audit import settings_of
from deployments.provider_networks import ALLOWED_NETWORKS
from gateway.actions import set_media_hosts, set_region_order
from gateway.list_settings import MEDIA_HOSTS, REGION_ORDER
from gateway.undo import prices, providers, routes, settings
from gateway.undo.steps import Step, changed_since
from tenants.models import ConfigChange, RevisionEntry

__all__ = ["LAST_FIRST", "Step", "entries_of", "may_see_who", "steps_of", "undo_revision", "why_too_many"]

# Actions that are undone together. All are undone in one transaction, and nobody else can change the configuration
# until it ends: some seconds for these on a busy machine, a quarter of an hour for 5,000.
MOST_ACTIONS: Final = 200

# Verbs that set the same thing as another one.
_SAME_THING: Final = {
    "provider.disabled": ("provider.disabled", "provider.enabled"),
    "provider.enabled": ("provider.disabled", "provider.enabled"),
}
# Why some actions have no inverse.
_FINAL: Final = {
    "api_key.revoked": gettext_noop("A revoked key never works again. Issue another one."),
    "grant.revoked": gettext_noop("A revoked grant does not come back. Request the access again."),
    "provider.credential_rotated": gettext_noop("No entry has credentials. Enter the one before again."),
    "provider.credential_ended": gettext_noop("A credential that has ended is erased. Enter it again."),
    "price_book.published": gettext_noop(
        "The entry of an import does not have the prices before. Publish the right ones."
    ),
    "provider.deleted": gettext_noop("A deleted provider is gone with its credentials. Add it again."),
}


# Entries in the order in which they are undone; what comes last has the greatest id.
LAST_FIRST: Final = ("-pk",)


def entries_of(change: ConfigChange, viewer: User | None) -> QuerySet[AuditEntry]:
    """The audit entries behind a revision that the person may see, the last one first; None is the platform.

    There are none behind one that was raised with a later revision (`raised_with`), which has them all.
    """
    entries = AuditEntry.objects.across_tenants() if viewer is None else AuditEntry.objects.visible_to(viewer)
    rows = entries.filter(pk__in=_ids_of(change)).select_related("actor", "tenant")
    return rows.order_by(*LAST_FIRST)


def why_too_many(change: ConfigChange, viewer: User | None) -> str:
    """Why the revision has too many actions to be undone; empty if it has not. One query."""
    count = entries_of(change, viewer).count()
    if count <= MOST_ACTIONS:
        return ""
    return _(
        "This revision has %(count)s actions, and at most %(most)d can be undone together: nobody else could change "
        "the configuration meanwhile. Correct them by hand, or with a script that uses the API."
    ) % {"count": f"{count:,}", "most": MOST_ACTIONS}


def may_see_who(viewer: User | None) -> bool:
    """Whether they may read in the audit log who did it and why. None is the platform."""
    return viewer is None or viewer.has_perm("audit.view_auditentry")


def steps_of(entries: Iterable[AuditEntry]) -> list[Step]:
    """What undoing these entries would do, action by action."""
    return [_step(entry) for entry in entries]


def _ids_of(change: ConfigChange) -> QuerySet[RevisionEntry, Any]:
    return RevisionEntry.objects.filter(revision=change.revision).values("entry_id")


@action(ConfigChange, permission="gateway.manage_gateway")
@transaction.atomic
def undo_revision(revision: int | str, *, reason: str, by: User | None) -> list[Step]:
    """Do the inverse of each action behind a revision that has one, all or nothing. Returns the steps.

    Raises:
        ConfigChange.DoesNotExist: `by` cannot see such a revision.
        PermissionDenied: `by` may not manage gateways, or may not do one of the inverse actions.
        Conflict: nothing there has an inverse, it has more than 200 actions, a later revision of the same transaction
            has them, somebody has changed the same thing since, or what was there before is no longer possible.
    """
    changes = ConfigChange.objects.all() if by is None else ConfigChange.objects.visible_to(by)
    change = changes.get(pk=revision)
    undo_revision.require(by, change)
    if change.raised_with is not None:
        message = _("Revision %(last)d was raised with this one and has the actions of both. Undo that one.")
        raise Conflict(message % {"last": change.raised_with}, code="nothing_to_undo")
    if too_many := why_too_many(change, by):
        raise Conflict(too_many, code="too_many_actions")
    steps = steps_of(entries_of(change, by))
    if not any(step.undo for step in steps):
        raise Conflict(_("No action behind this revision can be undone."), code="nothing_to_undo")
    for step in steps:
        if step.undo is not None:
            _require_unchanged(step.entry, change)
    for step in steps:
        if step.undo is not None:
            try:
                step.undo(by)
            except ValidationError as error:
                raise Conflict(" ".join(error.messages), code="no_longer_possible") from error
    audit.record(
        "revision.undone",
        actor=by,
        subject=change,
        reason=reason,
        undone=[str(step.entry.pk) for step in steps if step.undo],
        left=[step.entry.verb for step in steps if not step.undo],
    )
    return steps


def _step(entry: AuditEntry) -> Step:
    found = _INVERSES.get(entry.verb)
    texts = [text for pair in entry.changes.values() for text in pair if isinstance(text, str)]
    # A shortened text is not what was there before.
    if found is None or any(len(text) >= LONGEST_TEXT for text in texts):
        named = _FINAL.get(entry.verb)
        words = _(named) if named else _("This has no inverse. If it was wrong, correct it by hand.")
        return Step(entry, words)
    return found(entry)


def _require_unchanged(entry: AuditEntry, change: ConfigChange) -> None:
    """Raise Conflict if another entry than those of the revision says that the same thing was set since.

    Whoever set it anew to the same value meant it, so equal values are not enough. Each step compares them too, under
    its lock.
    """
    mine = settings_of(entry.changes, entry.details)
    later = AuditEntry.objects.across_tenants().filter(
        subject_id=entry.subject_id,
        subject_type=entry.subject_type,
        verb__in=_SAME_THING.get(entry.verb, (entry.verb,)),
        pk__gt=entry.pk,
    )
    for changes, details in later.exclude(pk__in=_ids_of(change)).values_list("changes", "details"):
        is_same = not mine or mine & settings_of(changes, details)
        if is_same and details.get("model") == entry.details.get("model"):
            # The settings of all gateways, or of all providers, have no name of their own.
            is_policy = entry.subject_id == "1"
            raise changed_since(", ".join(entry.changes) if is_policy else entry.subject_label)


_INVERSES: Final[dict[str, Callable[[AuditEntry], Step]]] = {
    MEDIA_HOSTS.verb: settings.list_set(MEDIA_HOSTS, set_media_hosts),
    REGION_ORDER.verb: settings.list_set(REGION_ORDER, set_region_order),
    ALLOWED_NETWORKS.verb: settings.list_set(ALLOWED_NETWORKS, set_allowed_networks),
    "provider.disabled": providers.disabled,
    "provider.enabled": providers.enabled,
    "provider.changed": providers.changed,
    "limits.set": settings.limits,
    "route.changed": routes.entries,
    "route.fallbacks_changed": routes.fallbacks,
    "route.degrading_changed": routes.degrading,
    "route.handling_changed": routes.handling,
    "prices.published": prices.published,
}

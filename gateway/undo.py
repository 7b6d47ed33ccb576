"""What a revision of the configuration changed, and undoing it: the actions behind it, done the other way round.

Nothing old is written back. Each action that has an inverse is undone by that inverse, with its own permission check,
its own audit entry and a new revision; one that has none is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

import audit
from accounts.declared import Action, action
from accounts.models import User
from audit.models import AuditEntry
from audit.recording import LONGEST_TEXT
from core.errors import Conflict
from deployments.list_settings import ListSetting
from deployments.models import Provider, Route
from deployments.provider_actions import disable_provider, enable_provider, set_allowed_networks
from deployments.provider_networks import ALLOWED_NETWORKS
from deployments.routes import change_route, entry_from_words, entry_in_words, plan_of
from gateway.actions import set_media_hosts, set_region_order
from gateway.list_settings import MEDIA_HOSTS, REGION_ORDER
from tenants.actions import set_limits
from tenants.models import ApiKey, ConfigChange, Limit, Project, RevisionEntry, Tenant

# Verbs that set the same thing as another one.
_SAME_THING: Final = {
    "provider.disabled": ("provider.disabled", "provider.enabled"),
    "provider.enabled": ("provider.disabled", "provider.enabled"),
}
# Why some actions have no inverse.
_FINAL: Final = {
    "api_key.revoked": gettext_noop("A revoked key never works again. Issue another one."),
    "grant.revoked": gettext_noop("A revoked grant does not come back. Request the access again."),
    "provider.deleted": gettext_noop("A deleted provider is gone with its credentials. Add it again."),
}


@dataclass(frozen=True)
class Step:
    """One action behind a revision."""

    entry: AuditEntry
    # What undoing it would do; or, if it has no inverse, why not.
    words: str
    undo: Callable[[User | None], object] | None = None


def entries_of(change: ConfigChange, viewer: User | None) -> list[AuditEntry]:
    """The audit entries behind a revision that the person may see, the oldest first; None is the platform."""
    ids = RevisionEntry.objects.filter(revision=change.revision).values("entry_id")
    entries = AuditEntry.objects.across_tenants() if viewer is None else AuditEntry.objects.visible_to(viewer)
    return list(entries.filter(pk__in=ids).select_related("actor", "tenant").order_by("pk"))


def steps_of(change: ConfigChange, viewer: User | None) -> list[Step]:
    """What undoing a revision would do, action by action, the last action first."""
    return [_step(entry) for entry in reversed(entries_of(change, viewer))]


@action(ConfigChange, permission="gateway.manage_gateway")
@transaction.atomic
def undo_revision(revision: int | str, *, reason: str, by: User | None) -> list[Step]:
    """Do the inverse of each action behind a revision that has one, all or nothing. Returns the steps.

    Raises:
        ConfigChange.DoesNotExist: `by` cannot see such a revision.
        PermissionDenied: `by` may not manage gateways, or may not do one of the inverse actions.
        Conflict: nothing there has an inverse, somebody has changed the same thing since, or what was there before is
            no longer possible.
    """
    changes = ConfigChange.objects.all() if by is None else ConfigChange.objects.visible_to(by)
    change = changes.get(pk=revision)
    undo_revision.require(by, change)
    steps = steps_of(change, by)
    if not any(step.undo for step in steps):
        raise Conflict(_("No action behind this revision can be undone."), code="nothing_to_undo")
    for step in steps:
        if step.undo is not None:
            _require_unchanged(step.entry, [one.entry.pk for one in steps])
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


def _changed_since(what: str) -> Conflict:
    return Conflict(
        _("%(what)s: changed again since. Undo that first, or correct it by hand.") % {"what": what},
        code="changed_since",
    )


def _require_unchanged(entry: AuditEntry, own: list[UUID]) -> None:
    """Raise Conflict if another entry than those of the revision, `own`, says that the same thing was set since.

    Whoever set it anew to the same value meant it, so equal values are not enough. Each step compares them too, under
    its lock.
    """
    later = AuditEntry.objects.across_tenants().filter(
        subject_id=entry.subject_id,
        subject_type=entry.subject_type,
        verb__in=_SAME_THING.get(entry.verb, (entry.verb,)),
        pk__gt=entry.pk,
    )
    for changes, details in later.exclude(pk__in=own).values_list("changes", "details"):
        is_same = not entry.changes or entry.changes.keys() & changes.keys()
        if is_same and details.get("model") == entry.details.get("model"):
            # The settings of all gateways, or of all providers, have no name of their own.
            is_policy = entry.subject_id == "1"
            raise _changed_since(", ".join(entry.changes) if is_policy else entry.subject_label)


def _list_step(setting: ListSetting, put: Action[None, ..., list[str]]) -> Callable[[AuditEntry], Step]:
    """How to undo that a list was set: `put`, its action, sets what was there before."""

    def step(entry: AuditEntry) -> Step:
        before, after = entry.changes[setting.name]

        def undo(by: User | None) -> None:
            if ", ".join(setting.current(is_locked=True)) != after:
                raise _changed_since(setting.name)
            put(before.split(", ") if before else [], by=by)

        words = _("Set %(name)s to: %(values)s") % {"name": setting.name, "values": before or _("nothing")}
        return Step(entry, words, undo)

    return step


def _provider_disabled(entry: AuditEntry) -> Step:
    words = _("Enable provider %(name)s") % {"name": entry.subject_label}
    return Step(entry, words, lambda by: _known(entry, lambda: enable_provider(entry.subject_id, by=by)))


def _provider_enabled(entry: AuditEntry) -> Step:
    words = _("Disable provider %(name)s") % {"name": entry.subject_label}
    return Step(entry, words, lambda by: _known(entry, lambda: disable_provider(entry.subject_id, by=by)))


def _known(entry: AuditEntry, work: Callable[[], object]) -> None:
    try:
        work()
    except (Provider.DoesNotExist, Route.DoesNotExist) as error:
        raise _changed_since(entry.subject_label) from error


def _limits(entry: AuditEntry) -> Step:
    model = str(entry.details.get("model", ""))
    shown = ", ".join(
        f"{Limit.Kind(kind).label}: {before or _('none')}" for kind, (before, _after) in entry.changes.items()
    )
    words = _("Set limits of %(on)s to %(limits)s") % {"on": entry.subject_label, "limits": shown}

    def undo(by: User | None) -> None:
        assert entry.tenant_id is not None
        tenant = Tenant.objects.get(pk=entry.tenant_id)
        project, key = _place_of(entry, tenant)
        # As the action does, so that nobody sets them between this check and the change.
        rows = Limit.objects.in_tenant(tenant).select_for_update().order_by("kind")
        found = rows.filter(project=project, key=key, model=model)
        now = {limit.kind: f"{limit.value.normalize():f}" for limit in found}
        if any(now.get(kind) != after for kind, (_before, after) in entry.changes.items()):
            raise _changed_since(entry.subject_label)
        values = {
            kind: Decimal(before) if before else None for kind, (before, _after) in entry.changes.items()
        }
        set_limits(tenant, values, by=by, project=project, key=key, model=model)

    return Step(entry, words, undo)


def _place_of(entry: AuditEntry, tenant: Tenant) -> tuple[Project | None, ApiKey | None]:
    """The project or the key whose limits were set; neither for the tenant's own. Raises Conflict if it is gone."""
    try:
        if entry.subject_type == "tenants.project":
            return Project.objects.in_tenant(tenant).get(pk=entry.subject_id), None
        if entry.subject_type == "tenants.apikey":
            return None, ApiKey.objects.in_tenant(tenant).get(pk=entry.subject_id)
    except (Project.DoesNotExist, ApiKey.DoesNotExist) as error:
        raise _changed_since(entry.subject_label) from error
    return None, None


def _route(entry: AuditEntry) -> Step:
    targets = entry.details.get("targets", [])
    if len(targets) != len(entry.changes):
        return Step(entry, _("This entry does not say which targets it meant. Correct the route by hand."))
    pairs = {UUID(pk): entry.changes[name] for name, pk in zip(sorted(entry.changes), targets, strict=True)}
    wanted = {pk: entry_from_words(pk, before) for pk, (before, _after) in pairs.items()}
    if any(wanted[pk] is None and before for pk, (before, _after) in pairs.items()):
        return Step(entry, _("This entry does not say what the route had before. Correct the route by hand."))
    shown = "; ".join(f"{name}: {before or _('removed')}" for name, (before, _after) in entry.changes.items())
    words = _("Set the route of %(model)s to %(entries)s") % {"model": entry.subject_label, "entries": shown}

    def undo(by: User | None) -> None:
        # Not locked: the action compares the generation when it has locked the route.
        route = Route.objects.filter(pk=entry.subject_id).first()
        if route is None:
            raise _changed_since(entry.subject_label)
        now = {plan.target_id: plan for plan in plan_of(route)}
        if any(entry_in_words(now.get(pk)) != after for pk, (_before, after) in pairs.items()):
            raise _changed_since(entry.subject_label)
        for pk, plan in wanted.items():
            now.pop(pk, None)
            if plan is not None:
                now[pk] = plan
        _known(
            entry,
            lambda: change_route(
                route.pk, now.values(), based_on=route.generation, may_end_service=True, by=by
            ),
        )

    return Step(entry, words, undo)


_INVERSES: Final[dict[str, Callable[[AuditEntry], Step]]] = {
    MEDIA_HOSTS.verb: _list_step(MEDIA_HOSTS, set_media_hosts),
    REGION_ORDER.verb: _list_step(REGION_ORDER, set_region_order),
    ALLOWED_NETWORKS.verb: _list_step(ALLOWED_NETWORKS, set_allowed_networks),
    "provider.disabled": _provider_disabled,
    "provider.enabled": _provider_enabled,
    "limits.set": _limits,
    "route.changed": _route,
}

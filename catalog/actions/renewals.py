"""Renewing a grant before it ends: a request for the same again, which the rules consider like any other."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from accounts.declared import action
from accounts.models import User
from catalog import rules
from catalog.actions.access_requests import raise_access_request
from catalog.actions.grants import require_not_over
from catalog.asked_facts import facts_of
from catalog.models import AccessRequest, Grant, RequestItem
from core.dates import day_and_year
from core.errors import Conflict
from tenants.status import in_active_tenant


def changes_since(grant: Grant) -> str:
    """In words, which facts that approvals depend on differ from those of the grant's request; empty if none do."""
    item = grant.item
    then = item.access_request.facts.get(str(item.pk)) or {}
    facts = facts_of(_again(grant), item.access_request.duration_days).as_json()
    # It was new to the project then, and cannot be now.
    names = [name for name in facts if name != "is_new_to_project" and then.get(name) != facts[name]]
    words = [rules.change_in_words(name, then, facts) for name in names if name in then]
    if len(words) < len(names):
        words.append(_("Some of the earlier facts are not recorded."))
    return " ".join(words)


def _again(grant: Grant) -> RequestItem:
    """The item of a renewal, not stored."""
    item = grant.item
    return RequestItem(
        tenant=grant.tenant,
        project=grant.project,
        model=grant.model,
        data_class=item.data_class,
        expected_tokens_per_day=item.expected_tokens_per_day,
        limits=item.limits,
    )


def _require_renewable(by: User | None, grant: Grant) -> None:
    in_active_tenant(by, grant)
    require_not_over(by, grant)
    if grant.renewable_from > now():
        raise Conflict(
            _("This grant lasts until %(end)s. It can be renewed from %(start)s on.")
            % {"end": day_and_year(grant.valid_until), "start": day_and_year(grant.renewable_from)},
            code="too_early",
        )


@action(
    Grant,
    permission="tenants.request_access",
    on=lambda grant: grant.project,
    state=_require_renewable,
)
@transaction.atomic
def renew_grant(pk: UUID | str, *, by: User, accepts_changes: bool = False) -> AccessRequest:
    """Request the same again: model, project, purpose, data, tokens, limits and duration of the grant's request.

    The rules run as for any request: they approve it at once, or it needs reviews. Its approval ends the earlier grant
    in the same transaction, and the key stays with a later end.

    Args:
        pk: id of the grant.
        by: who asks; the owner stays, if they may.
        accepts_changes: whether `by` knows that facts have changed since.

    Raises:
        Grant.DoesNotExist: `by` cannot see such a grant.
        PermissionDenied: `by` may not request access in its project.
        Conflict: it is over, or it is too early; facts have changed and `accepts_changes` is false; the project has an
            open request for the model; the tenant is not active.
        ValidationError: by field, what can no longer be requested.
    """
    grants = Grant.objects.visible_to(by).select_related("tenant", "project__tenant", "model")
    grant = grants.select_related("item__access_request").get(pk=pk)
    renew_grant.require(by, grant)
    if not accepts_changes and (changes := changes_since(grant)):
        raise Conflict(
            _("%(changes)s Look at the changes, then renew.") % {"changes": changes}, code="facts_changed"
        )
    item, asked = grant.item, grant.item.access_request
    return raise_access_request(
        grant.project,
        grant.model.name,
        by=by,
        purpose=asked.purpose,
        expected_tokens_per_day=item.expected_tokens_per_day,
        data_class=item.data_class,
        limits=item.limits,
        duration_days=asked.duration_days,
        renews=grant,
    )

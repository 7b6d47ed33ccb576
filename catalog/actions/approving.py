"""What an approval gives: a grant for each item, its limits, and keys to claim."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.utils.timezone import now

import audit
from accounts.models import User
from catalog.actions.granted_keys import give_keys
from catalog.actions.grants import end_renewed, lock_renewed
from catalog.grant_owners import first_owner, hold_owners_to_be, may_own
from catalog.models import AccessRequest, Grant, RequestItem
from catalog.notices import REQUEST_APPROVED, tell_requester
from tenants.actions.limits import write_limits
from tenants.models import Tenant
from tenants.revision import raise_revision


def approve_request(access_request: AccessRequest, items: list[RequestItem], *, by: User | None) -> None:
    """Approve a request, which the caller has locked or made; create grants, limits, keys and audit entries with it.

    Triggers raise IntegrityError unless all reviews are approved, or there are none and the rules approve. None as
    `by`: the rules. Raises Conflict if a grant that the request renews was revoked meanwhile.
    """
    tenant = access_request.tenant
    # Whoever decides a review has done so before the request was locked.
    hold_owners_to_be(access_request.pk)
    renewed = lock_renewed(items)
    access_request.move_to(AccessRequest.State.APPROVED)
    access_request.decided_at = now()
    access_request.save(update_fields=["state", "decided_at"])
    audit.record("access_request.approved", actor=by, subject=access_request)

    valid_until = access_request.decided_at + timedelta(days=access_request.duration_days)
    end_renewed(renewed, at=access_request.decided_at, by=by)
    kept: set[UUID] = set()
    for item, key in give_keys(access_request, items, expires_at=valid_until):
        item.key = key
        if item.renews_id or key.pk == item.into_key_id:
            kept.add(key.pk)
        item.save(update_fields=["key"])
        grant = Grant.objects.create(
            tenant=tenant,
            project=item.project,
            model=item.model,
            item=item,
            owner_id=_owner_of(item, access_request),
            valid_from=access_request.decided_at,
            valid_until=valid_until,
        )
        audit.record("grant.given", actor=by, subject=grant, model=item.model.name, valid_until=valid_until)
    limited = _set_limits(tenant, items)
    tell_requester(REQUEST_APPROVED, access_request)
    raise_revision(projects={item.project_id for item in items}, keys=kept, limits=limited)


def _set_limits(tenant: Tenant, items: list[RequestItem]) -> set[UUID]:
    """Set the limits of all items, in one order, so that two approvals take turns; the projects where one changed."""
    limited: set[UUID] = set()
    for item in sorted(items, key=lambda item: (item.project_id, item.model.name)):
        if item.limits:
            values = {kind: Decimal(value) for kind, value in item.limits.items()}
            _limits, is_changed = write_limits(
                tenant, values, actor=None, project=item.project, model=item.model.name
            )
            if is_changed:
                limited.add(item.project_id)
    return limited


def _owner_of(item: RequestItem, access_request: AccessRequest) -> UUID | None:
    """A renewal stays with the owner of the earlier grant, if they may still answer for it."""
    former = item.renews.owner if item.renews else None
    if former is not None and may_own(former, item.project):
        return former.pk
    return first_owner(access_request.requested_by, item.project)

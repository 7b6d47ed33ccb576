"""What an approval gives: a grant, its limits, and a key to claim."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.utils.timezone import now

import audit
from accounts.models import User
from catalog.models import AccessRequest, Grant
from catalog.notices import REQUEST_APPROVED, tell_requester
from tenants import actions as tenants_actions
from tenants.revision import raise_revision


def approve_request(access_request: AccessRequest, *, by: User | None) -> None:
    """Approve a request, which the caller has locked or made; create grant, limits, key and audit entries with it.

    Triggers raise IntegrityError unless all reviews are approved, or there are none and the rules approve. None as
    `by`: the rules.
    """
    tenant, project, model = access_request.tenant, access_request.project, access_request.model
    access_request.move_to(AccessRequest.State.APPROVED)
    access_request.decided_at = now()
    access_request.save(update_fields=["state", "decided_at"])
    audit.record("access_request.approved", actor=by, subject=access_request)

    valid_until = access_request.decided_at + timedelta(days=access_request.duration_days)
    key = tenants_actions.prepare_api_key(
        project,
        name=model.name[:80],
        models=[model.name],
        created_for=access_request.requested_by,
        expires_at=valid_until,
    )
    grant = Grant.objects.create(
        tenant=tenant,
        project=project,
        model=model,
        access_request=access_request,
        key=key,
        valid_from=access_request.decided_at,
        valid_until=valid_until,
    )
    tell_requester(REQUEST_APPROVED, access_request)
    audit.record("grant.given", actor=by, subject=grant, model=model.name, valid_until=valid_until)
    if access_request.limits:
        values = {kind: Decimal(value) for kind, value in access_request.limits.items()}
        tenants_actions.set_limits(tenant, values, by=None, project=project, model=model.name)
    raise_revision(projects=[project.pk])

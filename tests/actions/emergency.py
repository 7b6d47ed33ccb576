"""Actions of emergency access: opening, ending, looking at it."""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from tenants.models import EmergencyAccess
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}
REASON = "Their only owner is away and a key leaked."


def _access(world, opener):
    return EmergencyAccess.objects.create(
        tenant=world.tenant,
        opened_by=opener,
        reason=REASON,
        expires_at=now() + timedelta(minutes=15),
        session_digest="0" * 64,
    )


def of_somebody_else(world, actor):
    """Over: the session that opened it is nobody's."""
    controller = world.staff["controller"]
    return _access(world, controller)


def ones_own(world, actor):
    """The actor's where they could open one, else an operator's."""
    operator = world.staff["operator"]
    return _access(world, actor if actor.pk == operator.pk else operator)


EMERGENCY_ACTIONS = [
    Action(
        "open emergency access",
        "tenants.actions.open_emergency_access",
        admin=EntryPoint(
            "POST /admin/tenants/tenant/{w.tenant.pk}/emergency-access/",
            {"reason": REASON, "minutes": "15", "step": "confirm"},
        ),
    ),
    Action(
        "end one's own emergency access",
        "tenants.actions.end_emergency_access",
        subject=ones_own,
        page=EntryPoint("POST /t/{w.tenant.slug}/emergency-access/{it.pk}/end/"),
    ),
    Action(
        "see who had emergency access",
        subject=of_somebody_else,
        page=EntryPoint("GET /t/{w.tenant.slug}/emergency-access/", shows="{it.reason}"),
    ),
    Action(
        "review emergency access",
        "tenants.actions.review_emergency_access",
        subject=of_somebody_else,
        admin=EntryPoint("POST /admin/tenants/emergencyaccess/{it.pk}/review/", SENT | {"remark": "Fine."}),
    ),
]

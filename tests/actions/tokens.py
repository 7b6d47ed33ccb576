"""Actions with personal access tokens: one's own, those that lead into a tenant, those of its service accounts."""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from tenants import actions
from tests.factories import member_of
from tests.role_matrix import Action, EntryPoint


def service_account(world, actor):
    return actions.create_service_account(
        world.tenant, name="nightly-report", role="developer", by=world.members["owner"]
    )


def colleagues_token(world, actor):
    """A token that leads into the tenant alone, of another developer there."""
    holder = member_of(world.tenant, "developer")
    token, _secret = actions.issue_personal_access_token(
        holder, name="theirs", life=timedelta(days=9), tenant=world.tenant
    )
    return token


TOKEN_ACTIONS = [
    Action(
        "make a token for a service account",
        "tenants.actions.issue_personal_access_token",
        subject=service_account,
        page=EntryPoint(
            "POST /t/{w.tenant.slug}/tokens/new/",
            {"account": "{it.pk}", "name": "nightly", "scopes": "read", "life_days": "30"},
        ),
        api=EntryPoint(
            "POST /api/v1/tokens/",
            lambda world, it: {
                "service_account": str(it.memberships.get().pk),
                "name": "nightly",
                "scopes": ["read"],
                "expires_at": (now() + timedelta(days=9)).isoformat(),
            },
        ),
    ),
    Action(
        "see and revoke somebody's token that leads into the tenant",
        "tenants.actions.revoke_personal_access_token",
        subject=colleagues_token,
        page=EntryPoint("POST /t/{w.tenant.slug}/tokens/{it.pk}/revoke/"),
        api=EntryPoint("POST /api/v1/tokens/{it.pk}/revoke/"),
        admin=EntryPoint("POST /admin/tenants/personalaccesstoken/{it.pk}/revoke/", {"_form_submitted": "1"}),
        unseen_at=("page", "API"),
    ),
]

"""A person with something of everything."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils.timezone import now

import audit
from accounts.models import Session
from audit.checkpoints import checkpoint_pending_entries
from core.context import Origin, current_origin
from directory.models import FederatedIdentity
from tenants import actions
from tenants.models import Invitation
from tenants.roles import Role
from tests.factories import ApiKeyFactory, member_of

REASON = "Request 2026-17"


@pytest.fixture
def dana(lab, project, owner):
    """A developer with something of everything, and an audit log by and about her, with checkpoints."""
    person = member_of(lab, Role.DEVELOPER, name="Dana Developer", email="dana@example.com")
    token = current_origin.set(Origin("r-1", "192.0.2.44", "Dana's browser"))
    try:
        audit.record("thing.done", actor=person, subject=project, count=3, model="glm-4.6")
    finally:
        current_origin.reset(token)
    audit.record(
        "thing.said", actor=owner, subject=person, note="Ask dana@example.com or Annabel.", other="kept"
    )
    audit.record(
        "thing.done",
        actor=owner,
        subject=project,
        on_behalf_of=person,
        changes={"to": ("x", "Dana Developer")},
    )
    FederatedIdentity.objects.create(user=person, issuer="https://id.example", subject="dana")
    actions.issue_personal_access_token(person, name="laptop", life=timedelta(days=1))
    Session.objects.create(
        session_key="s" * 32, session_data="", expire_date=now() + timedelta(days=1), user=person
    )
    Invitation.objects.create(
        tenant=lab, email="dana@example.com", role="viewer", digest="d" * 64, invited_by=owner,
        expires_at=now() + timedelta(days=1),
    )  # fmt: skip
    ApiKeyFactory(tenant=lab, project=project, owner=person, name="letters")
    checkpoint_pending_entries()
    return person

"""Actions about who people are and how they sign in: staff roles, group mappings, linked accounts, lost factors."""

from __future__ import annotations

from axes.models import AccessAttempt
from django.conf import settings
from django.utils.timezone import now

from accounts.models import OutboxMessage, SecondFactor
from core.ids import uuid7
from directory import group_mappings
from directory.actions.group_mappings import draft_group_mapping
from directory.admin.group_mappings import _digest
from directory.models import FederatedIdentity
from tests.factories import UserFactory, staff
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}


def person(world, actor):
    return UserFactory()


def failed_message(world, actor):
    return OutboxMessage.objects.create(
        event="invitation",
        channel="mail",
        address="nia@example.org",
        of_tenant=world.tenant,
        subject_id=uuid7(),
        state="failed",
        settled_at=now(),
    )


def locked_out(world, actor):
    somebody = UserFactory()
    AccessAttempt.objects.create(
        username=somebody.email,
        ip_address="192.0.2.7",
        failures_since_start=settings.AXES_FAILURE_LIMIT,
        attempt_time=now(),
    )
    return somebody


def with_a_factor(world, actor):
    somebody = UserFactory()
    SecondFactor.objects.create(user=somebody, secret=b"0", last_step=0)
    return somebody


def identity(world, actor):
    return FederatedIdentity.objects.create(
        user=UserFactory(), issuer=settings.OIDC_ISSUER or "https://issuer.example", subject="abc"
    )


def drafted_rule(world, actor):
    return draft_group_mapping(group="developers", tenant=world.tenant, role="developer")


def rule(world, actor):
    made = drafted_rule(world, actor)
    made.save(force_insert=True)
    return made


def what_the_form_says(world, it):
    """The second POST, which shows that its author has seen the preview."""
    return {
        "group": it.group,
        "tenant": str(it.tenant_id or ""),
        "role": it.role,
        "staff_role": it.staff_role,
        "seen": _digest(it, group_mappings.preview(beginning=it, ending=None)),
    }


def another_role(world, it):
    """The second POST of a rule that takes this one's place."""
    draft = draft_group_mapping(group=it.group, tenant=it.tenant, role="viewer")
    seen = _digest(draft, group_mappings.preview(beginning=draft, ending=it))
    return what_the_form_says(world, draft) | {"seen": seen}


def staff_rule(world, actor):
    return draft_group_mapping(group="operators", staff_role="operator")


def staff_rule_in_force(world, actor):
    made = staff_rule(world, actor)
    made.save(force_insert=True)
    return made


def what_ends(world, it):
    return {"seen": _digest(it, group_mappings.preview(ending=it))}


IDENTITY_ACTIONS = [
    Action(
        "give a staff role",
        "accounts.actions.make_staff",
        subject=person,
        admin=EntryPoint(
            "POST /admin/accounts/staffroleassignment/assign/", {"email": "{it.email}", "role": "auditor"}
        ),
    ),
    Action(
        "take a staff role",
        "accounts.actions.end_staff_role",
        subject=lambda world, actor: staff("auditor").staff_role_assignments.get(),
        admin=EntryPoint("POST /admin/accounts/staffroleassignment/{it.pk}/end/", SENT),
    ),
    Action(
        "begin a group mapping",
        "directory.actions.group_mappings.begin_group_mapping",
        subject=drafted_rule,
        admin=EntryPoint("POST /admin/directory/groupmapping/begin/", what_the_form_says),
    ),
    Action(
        "replace a group mapping",
        "directory.actions.group_mappings.begin_group_mapping",
        subject=rule,
        admin=EntryPoint("POST /admin/directory/groupmapping/{it.pk}/replace/", another_role),
    ),
    Action(
        "end a group mapping",
        "directory.actions.group_mappings.end_group_mapping",
        subject=rule,
        admin=EntryPoint(
            "POST /admin/directory/groupmapping/{it.pk}/end/",
            what_ends,
        ),
    ),
    Action(
        "begin a group mapping that gives a staff role",
        "directory.actions.group_mappings.begin_group_mapping",
        subject=staff_rule,
        admin=EntryPoint("POST /admin/directory/groupmapping/begin/", what_the_form_says),
    ),
    Action(
        "end a group mapping that gives a staff role",
        "directory.actions.group_mappings.end_group_mapping",
        subject=staff_rule_in_force,
        admin=EntryPoint("POST /admin/directory/groupmapping/{it.pk}/end/", what_ends),
    ),
    Action(
        "link an account to a person at the provider",
        "directory.actions.identities.link_identity",
        subject=person,
        admin=EntryPoint(
            "POST /admin/directory/federatedidentity/link/",
            SENT | {"email": "{it.email}", "subject": "abc"},
        ),
    ),
    Action(
        "unlink an account",
        "directory.actions.identities.unlink_identity",
        subject=identity,
        admin=EntryPoint("POST /admin/directory/federatedidentity/{it.pk}/unlink/", SENT),
    ),
    Action(
        "unlock somebody's sign-in",
        "accounts.actions.unlock_sign_in",
        subject=locked_out,
        admin=EntryPoint("POST /admin/accounts/user/{it.pk}/unlock/", SENT),
    ),
    Action(
        "send a message again",
        "accounts.actions.send_message_again",
        subject=failed_message,
        admin=EntryPoint("POST /admin/accounts/outboxmessage/{it.pk}/again/", SENT),
    ),
    Action(
        "reset somebody's second factor",
        "accounts.actions.reset_second_factor",
        subject=with_a_factor,
        admin=EntryPoint(
            "POST /admin/accounts/user/{it.pk}/reset-second-factor/", SENT | {"reason": "Lost."}
        ),
    ),
]

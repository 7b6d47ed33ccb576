"""Actions about people and the directory they come from."""

from __future__ import annotations

from datetime import timedelta

from directory.actions.scim_tokens import issue_scim_token
from tenants.actions.people import deactivate_person
from tests.factories import UserFactory, staff
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}


def person(world, actor):
    return UserFactory()


def person_shut_out(world, actor):
    shut_out = UserFactory()
    deactivate_person(shut_out, by=None, reason="left")
    return shut_out


def token(world, actor):
    issued, _secret = issue_scim_token("Directory", life=timedelta(days=9), by=None)
    return issued


def token_of_somebody(world, actor):
    made, _secret = issue_scim_token("Directory", life=timedelta(days=9), by=staff("operator"))
    return made


DIRECTORY_ACTIONS = [
    Action(
        "deactivate a person",
        "tenants.actions.people.deactivate_person",
        subject=person,
        admin=EntryPoint("POST /admin/accounts/user/{it.pk}/deactivate/", SENT | {"reason": "left"}),
    ),
    Action(
        "reactivate a person",
        "tenants.actions.people.reactivate_person",
        subject=person_shut_out,
        admin=EntryPoint("POST /admin/accounts/user/{it.pk}/reactivate/", SENT | {"reason": "came back"}),
    ),
    Action(
        "issue a directory's token",
        "directory.actions.scim_tokens.issue_scim_token",
        admin=EntryPoint(
            "POST /admin/directory/scimtoken/issue/", SENT | {"name": "Directory", "days": "30"}
        ),
    ),
    Action(
        "confirm a directory's token that somebody else made",
        "directory.actions.scim_tokens.confirm_scim_token",
        subject=token_of_somebody,
        admin=EntryPoint("POST /admin/directory/scimtoken/{it.pk}/confirm/", SENT),
    ),
    Action(
        "renew a directory's token",
        "directory.actions.scim_tokens.renew_scim_token",
        subject=token,
        admin=EntryPoint("POST /admin/directory/scimtoken/{it.pk}/renew/", SENT),
    ),
    Action(
        "revoke a directory's token",
        "directory.actions.scim_tokens.revoke_scim_token",
        subject=token,
        admin=EntryPoint("POST /admin/directory/scimtoken/{it.pk}/revoke/", SENT),
    ),
]

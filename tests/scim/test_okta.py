"""What Okta sends, in its order.

Its own test of SCIM 2.0 services is the file "Okta SCIM 2.0 Spec Test", published with the guide at
https://developer.okta.com/docs/guides/scim-provisioning-integration-test/main/; the requests of an integration
at work are described at https://developer.okta.com/docs/api/openapi/okta-scim/guides/scim-20.
"""

from __future__ import annotations

from tests.scim.conftest import ERROR, GROUP, LIST, PATCH, USER
from tests.scim.sequences import Step, play

TINA = {
    "schemas": [USER],
    "userName": "tina.erickson@okta.example.com",
    "name": {"givenName": "Tina", "familyName": "Erickson"},
    "emails": [{"primary": True, "value": "tina.erickson@mailinator.example.com", "type": "work"}],
    "displayName": "Tina Erickson",
    "locale": "en_US",
    "userType": "In SCIM Group",
    "externalId": "00u5hwkpq7IC0H7IS0h7",
    "groups": [],
    "password": "not-for-us-1A",
    "active": True,
}

SPEC_TEST = [
    Step(
        "the list has somebody, with what Okta needs of them",
        "GET",
        "Users?count=1&startIndex=1",
        expect={
            "schemas": [LIST],
            "totalResults": ...,
            "itemsPerPage": 1,
            "startIndex": 1,
            "Resources.0.id": ...,
            "Resources.0.name.familyName": ...,
            "Resources.0.name.givenName": ...,
            "Resources.0.userName": ...,
            "Resources.0.active": ...,
            "Resources.0.emails.0.value": ...,
        },
        remember={"first": "Resources.0.id"},
    ),
    Step("by its id", "GET", "Users/{first}", expect={"id": "{first}", "userName": ..., "active": ...}),
    Step(
        "who is not there is not found by name",
        "GET",
        'Users?filter=userName%20eq%20"tina.erickson@okta.example.com"&startIndex=1&count=100',
        expect={"schemas": [LIST], "totalResults": 0, "Resources": []},
    ),
    Step(
        "nor by id",
        "GET",
        "Users/010101001010101011001010101011",
        status=404,
        expect={"schemas": [ERROR], "detail": ..., "status": "404"},
    ),
    Step(
        "create",
        "POST",
        "Users",
        TINA,
        status=201,
        expect={
            "schemas": [USER],
            "id": ...,
            "active": True,
            "userName": "tina.erickson@okta.example.com",
            "name.familyName": "Erickson",
            "name.givenName": "Tina",
            "emails.0.value": "tina.erickson@mailinator.example.com",
            "emails.0.type": "work",
            "externalId": "00u5hwkpq7IC0H7IS0h7",
            "meta.resourceType": "User",
            "meta.location": ...,
        },
        absent=("password", "userType"),
        remember={"tina": "id"},
    ),
    Step(
        "it is there",
        "GET",
        "Users/{tina}",
        expect={"userName": TINA["userName"], "name.familyName": "Erickson", "displayName": "Tina Erickson"},
    ),
    Step(
        "found in capitals too",
        "GET",
        'Users?filter=userName%20eq%20"TINA.ERICKSON@OKTA.EXAMPLE.COM"',
        expect={"totalResults": 1, "Resources.0.id": "{tina}"},
    ),
    Step(
        "not created twice",
        "POST",
        "Users",
        TINA,
        status=409,
        expect={"schemas": [ERROR], "status": "409", "scimType": "uniqueness"},
    ),
    Step("groups answer", "GET", "Groups?startIndex=1&count=100", expect={"schemas": [LIST], "totalResults": 0}),
]  # fmt: skip

AT_WORK = [
    Step("create", "POST", "Users", TINA, status=201, remember={"tina": "id"}),
    Step("read before an update", "GET", "Users/{tina}", expect={"id": "{tina}"}),
    Step(
        "update her profile",
        "PUT",
        "Users/{tina}",
        TINA
        | {
            "id": "{tina}",
            "name": {"givenName": "Tina", "familyName": "Berg", "middleName": "Anne"},
            "displayName": "Tina Berg",
            "meta": {"resourceType": "User"},
        },
        expect={"id": "{tina}", "name.familyName": "Berg", "displayName": "Tina Berg", "active": True},
    ),
    Step(
        "take the application from her",
        "PATCH",
        "Users/{tina}",
        {"schemas": [PATCH], "Operations": [{"op": "replace", "value": {"active": False}}]},
        expect={"id": "{tina}", "active": False, "displayName": "Tina Berg"},
    ),
    Step(
        "assign it again: look her up",
        "GET",
        'Users?filter=userName%20eq%20"tina.erickson@okta.example.com"&startIndex=1&count=100',
        expect={"totalResults": 1, "Resources.0.id": "{tina}", "Resources.0.active": False},
    ),
    Step(
        "and activate",
        "PUT",
        "Users/{tina}",
        TINA | {"id": "{tina}", "active": True},
        expect={"active": True, "name.familyName": "Erickson"},
    ),
    Step(
        "push a group",
        "POST",
        "Groups",
        {"schemas": [GROUP], "displayName": "Test SCIMv2", "members": []},
        status=201,
        expect={"schemas": [GROUP], "id": ..., "displayName": "Test SCIMv2"},
        remember={"group": "id"},
    ),
    Step("read it", "GET", "Groups/{group}", expect={"displayName": "Test SCIMv2", "meta.resourceType": "Group"}),
    Step(
        "rename it",
        "PATCH",
        "Groups/{group}",
        {
            "schemas": [PATCH],
            "Operations": [{"op": "replace", "value": {"id": "{group}", "displayName": "Test SCIMv0"}}],
        },
        status=204,
    ),
    Step(
        "add her",
        "PATCH",
        "Groups/{group}",
        {
            "schemas": [PATCH],
            "Operations": [
                {"op": "remove", "path": 'members[value eq "{first}"]'},
                {
                    "op": "add",
                    "path": "members",
                    "value": [{"value": "{tina}", "display": "tina.erickson@okta.example.com"}],
                },
            ],
        },
        status=204,
    ),
    Step(
        "she is in it",
        "GET",
        "Groups/{group}",
        expect={"displayName": "Test SCIMv0", "members.0.value": "{tina}", "members.0.display": "Tina Erickson"},
    ),
    Step(
        "and says so",
        "GET",
        "Users/{tina}",
        expect={"groups.0.value": "{group}", "groups.0.display": "Test SCIMv0"},
    ),
    Step(
        "older integrations put the whole group",
        "PUT",
        "Groups/{group}",
        {"schemas": [GROUP], "id": "{group}", "displayName": "Test SCIMv2", "members": [{"value": "{first}"}]},
        expect={"displayName": "Test SCIMv2", "members.0.value": "{first}"},
    ),
    Step(
        "replace its members",
        "PATCH",
        "Groups/{group}",
        {
            "schemas": [PATCH],
            "Operations": [{"op": "replace", "path": "members", "value": [{"value": "{tina}"}]}],
        },
        status=204,
    ),
    Step("only she", "GET", "Groups/{group}", expect={"members.0.value": "{tina}"}, absent=("members.1",)),
    Step("stop pushing it", "DELETE", "Groups/{group}", status=204),
    Step("it is gone", "GET", "Groups/{group}", status=404),
]  # fmt: skip


def test_the_spec_test_of_okta_passes(directory):
    directory.person("morgan@example.com", name={"givenName": "Morgan", "familyName": "Chen"})
    play(directory, SPEC_TEST)


def test_an_integration_of_okta_at_work(directory):
    morgan = directory.person("morgan@example.com")
    play(directory, AT_WORK, first=str(morgan.pk))

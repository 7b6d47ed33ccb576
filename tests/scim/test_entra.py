"""What Microsoft Entra ID sends, in its order, with and without the flag that makes its PATCH compliant.

https://learn.microsoft.com/en-us/entra/identity/app-provisioning/use-scim-to-provision-users-and-groups and, for
the two ways of PATCH,
https://learn.microsoft.com/en-us/entra/identity/app-provisioning/application-provisioning-config-problem-scim-compatibility
"""

from __future__ import annotations

import pytest

from tests.scim.conftest import ERROR, GROUP, LIST, PATCH, USER
from tests.scim.sequences import Step, play

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ADSCIM = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"


def patch(*operations):
    return {"schemas": [PATCH], "Operations": list(operations)}


PERSON = {
    "schemas": [USER, ENTERPRISE],
    "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
    "userName": "Test_User_00aa00aa@testuser.example.com",
    "active": True,
    "emails": [{"primary": True, "type": "work", "value": "Test_User_11bb11bb@testuser.example.com"}],
    "meta": {"resourceType": "User"},
    "name": {"formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName"},
    "roles": [],
    ENTERPRISE: {"employeeNumber": "7", "department": "Letters"},
}

PEOPLE = [
    Step(
        "the connection is tested with somebody who cannot be",
        "GET",
        'Users?filter=userName+eq+"65cc1ab5-d2f0-4bbe-9d38-9ce1d83d3f45"',
        expect={"schemas": [LIST], "totalResults": 0, "Resources": [], "startIndex": 1},
    ),
    Step("schemas are read", "GET", "Schemas", expect={"schemas": [LIST], "Resources.0.name": "User"}),
    Step(
        "looked up by its own id",
        "GET",
        'Users?filter=externalId+eq+"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"',
        expect={"totalResults": 0, "Resources": []},
    ),
    Step(
        "created",
        "POST",
        "Users",
        PERSON,
        status=201,
        expect={
            "schemas": [USER],
            "id": ...,
            "externalId": PERSON["externalId"],
            "userName": "test_user_00aa00aa@testuser.example.com",
            "active": True,
            "name.formatted": "givenName familyName",
            "emails.0.value": "Test_User_11bb11bb@testuser.example.com",
            "emails.0.type": "work",
            "emails.0.primary": True,
            "meta.resourceType": "User",
        },
        absent=(ENTERPRISE, "roles"),
        remember={"person": "id"},
    ),
    Step("read", "GET", "Users/{person}", expect={"id": "{person}", "externalId": PERSON["externalId"]}),
    Step("nobody", "GET", "Users/5171a35d82074e068ce2", status=404, expect={"schemas": [ERROR], "status": "404"}),
    *(
        Step(
            f"found by {question}",
            "GET",
            f"Users?filter={question}",
            expect={"totalResults": 1, "Resources.0.id": "{person}"},
        )
        for question in (
            'userName+eq+"Test_User_00aa00aa@testuser.example.com"',
            'externalId+eq+"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"',
            'emails[type+eq+"work"].value+eq+"test_user_11bb11bb@testuser.example.com"',
            'emails[type+eq+"work"+and+value+eq+"Test_User_11bb11bb@testuser.example.com"]',
        )
    ),
]  # fmt: skip

CHANGES_WITHOUT_FLAG = [
    Step(
        "several values change",
        "PATCH",
        "Users/{person}",
        patch(
            {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "updatedEmail@microsoft.example.com"},
            {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
        ),
        expect={
            "emails.0.value": "updatedEmail@microsoft.example.com",
            "name.familyName": "updatedFamilyName",
            "name.formatted": "givenName updatedFamilyName",
            "userName": "test_user_00aa00aa@testuser.example.com",
        },
    ),
    Step(
        "one value after the other, known here or not",
        "PATCH",
        "Users/{person}",
        patch(
            {"op": "Replace", "path": "displayName", "value": "Pvlo"},
            {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "Bcwqnm@test.example.com"},
            {"op": "Replace", "path": "name.givenName", "value": "Gtfd"},
            {"op": "Replace", "path": "externalId", "value": "Eqpj"},
            {"op": "Replace", "path": f"{ENTERPRISE}:employeeNumber", "value": "Eqpj"},
            {"op": "Add", "path": "nickName", "value": "Babs"},
            {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "555"},
            {"op": "Add", "path": 'addresses[type eq "work"].country', "value": "ML"},
            {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "User"},
            {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "nobody"},
        ),
        expect={"displayName": "Pvlo", "name.givenName": "Gtfd", "externalId": "Eqpj"},
        absent=("nickName", ENTERPRISE, "addresses"),
    ),
    Step(
        "another address to sign in with",
        "PATCH",
        "Users/{person}",
        patch({"op": "Replace", "path": "userName", "value": "5b50642d@testuser.example.com"}),
        expect={"userName": "5b50642d@testuser.example.com", "emails.0.value": "Bcwqnm@test.example.com"},
    ),
    Step(
        "disabled, in words",
        "PATCH",
        "Users/{person}",
        patch({"op": "Replace", "path": "active", "value": "False"}),
        expect={"active": False, "userName": "5b50642d@testuser.example.com"},
    ),
    Step(
        "still found, and inactive",
        "GET",
        'Users?filter=userName+eq+"5b50642d@testuser.example.com"',
        expect={"totalResults": 1, "Resources.0.active": False},
    ),
    Step(
        "restored, in words",
        "PATCH",
        "Users/{person}",
        patch({"op": "Add", "path": "active", "value": "True"}),
        expect={"active": True},
    ),
]  # fmt: skip

CHANGES_WITH_FLAG = [
    Step(
        "several values at once, keys with dots among them",
        "PATCH",
        "Users/{person}",
        patch(
            {"op": "replace", "path": 'emails[type eq "work"].value', "value": "Mhvaes@test.example.com"},
            {
                "op": "replace",
                "value": {
                    "displayName": "Bjfe",
                    "name.givenName": "Kkom",
                    "name.familyName": "Unua",
                    f"{ENTERPRISE}:employeeNumber": "Aklq",
                },
            },
        ),
        expect={
            "displayName": "Bjfe",
            "name.givenName": "Kkom",
            "name.familyName": "Unua",
            "emails.0.value": "Mhvaes@test.example.com",
        },
    ),
    Step(
        "disabled",
        "PATCH",
        "Users/{person}",
        patch({"op": "replace", "path": "active", "value": False}),
        expect={"active": False},
    ),
]  # fmt: skip

DELETED = [
    Step("deleted for good", "DELETE", "Users/{person}", status=204),
    Step("gone", "GET", "Users/{person}", status=404, expect={"schemas": [ERROR]}),
    Step("deleted again", "DELETE", "Users/{person}", status=404),
    Step(
        "not listed",
        "GET",
        'Users?filter=externalId+eq+"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"',
        expect={"totalResults": 0},
    ),
    Step("hired again", "POST", "Users", PERSON, status=201, expect={"active": True}),
]  # fmt: skip

GROUP_BEGINS = [
    Step(
        "looked for",
        "GET",
        'Groups?excludedAttributes=members&filter=displayName+eq+"displayName"',
        expect={"schemas": [LIST], "totalResults": 0, "Resources": []},
    ),
    Step(
        "created",
        "POST",
        "Groups",
        {
            "schemas": [GROUP, ADSCIM],
            "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
            "displayName": "displayName",
            "meta": {"resourceType": "Group"},
        },
        status=201,
        expect={"schemas": [GROUP], "id": ..., "displayName": "displayName", "meta.resourceType": "Group"},
        remember={"group": "id"},
    ),
    Step(
        "read without its members",
        "GET",
        "Groups/{group}?excludedAttributes=members",
        expect={"id": "{group}", "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159"},
        absent=("members",),
    ),
    Step(
        "found by name",
        "GET",
        'Groups?excludedAttributes=members&filter=displayName+eq+"displayName"',
        expect={"totalResults": 1, "Resources.0.id": "{group}"},
    ),
    Step(
        "renamed",
        "PATCH",
        "Groups/{group}",
        patch({"op": "Replace", "path": "displayName", "value": "1879db59updatedDisplayName"}),
        status=204,
    ),
    Step(
        "a member comes",
        "PATCH",
        "Groups/{group}",
        patch({"op": "Add", "path": "members", "value": [{"$ref": None, "value": "{person}"}]}),
        status=204,
    ),
    Step(
        "is the person in it?",
        "GET",
        'Groups?attributes=id&filter=id+eq+"{group}"+and+members+eq+"{person}"',
        expect={"totalResults": 1, "Resources.0.id": "{group}"},
        absent=("Resources.0.displayName", "Resources.0.members"),
    ),
]  # fmt: skip

LEAVING = {
    "without the flag": {"op": "Remove", "path": "members", "value": [{"$ref": None, "value": "{person}"}]},
    "with the flag": {"op": "remove", "path": 'members[value eq "{person}"]'},
}


def group_ends(leaving):
    return [
        Step("the member leaves", "PATCH", "Groups/{group}", patch(leaving), status=204),
        Step(
            "is the person in it?",
            "GET",
            'Groups?filter=id+eq+"{group}"+and+members+eq+"{person}"',
            expect={"totalResults": 0},
        ),
        Step(
            "the other stays",
            "GET",
            "Groups/{group}",
            expect={"members.0.value": "{other}"},
            absent=("members.1",),
        ),
        Step("deleted", "DELETE", "Groups/{group}", status=204),
        Step("gone", "GET", "Groups/{group}", status=404),
    ]


@pytest.mark.parametrize(
    "changes", [CHANGES_WITHOUT_FLAG, CHANGES_WITH_FLAG], ids=["without the flag", "with the flag"]
)
def test_the_life_of_a_person_in_entra(directory, changes):
    play(directory, PEOPLE + changes + DELETED)


@pytest.mark.parametrize("leaving", LEAVING.values(), ids=LEAVING)
def test_the_life_of_a_group_in_entra(directory, leaving):
    known = play(directory, PEOPLE + GROUP_BEGINS)
    other = directory.person("other@testuser.example.com")
    directory.patch(
        f"Groups/{known['group']}", {"op": "Add", "path": "members", "value": [{"value": str(other.pk)}]}
    )
    play(directory, group_ends(leaving), **known, other=str(other.pk))

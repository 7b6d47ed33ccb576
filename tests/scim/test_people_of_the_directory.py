"""People come, change and go as the directory says, and what they could do follows at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils.timezone import now

from accounts.models import Session, User
from audit.models import AuditEntry
from tenants.actions import add_member, issue_personal_access_token
from tenants.actions.people import deactivate_person, reactivate_person
from tenants.models import ApiKey, PersonalAccessToken
from tests.factories import ApiKeyFactory, ProjectFactory, UserFactory, staff
from tests.scim.conftest import USER

OFF = {"op": "replace", "value": {"active": False}}
ON = {"op": "replace", "value": {"active": True}}


def body(email="ada@example.com", **fields):
    return {"schemas": [USER], "userName": email, **fields}


def told(verb):
    return AuditEntry.objects.across_tenants().filter(verb=verb).order_by("pk").last()


@pytest.fixture
def ada(directory):
    return directory.person(
        externalId="e-1", displayName="Ada", name={"givenName": "Ada", "familyName": "Byron"}
    )


@pytest.fixture
def equipped(directory, ada, lab):
    """Ada with a key, a token and a browser in the lab."""
    add_member(lab, ada, "developer", by=None)
    ada.key = ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab), owner=ada)
    ada.token, ada.secret = issue_personal_access_token(ada, name="t", life=timedelta(days=9))
    ada.browser = Client()
    ada.browser.force_login(ada)
    return ada


def test_who_is_provisioned_can_sign_in_by_their_provider_only(ada):
    assert ada.email == "ada@example.com"
    assert ada.name == "Ada"
    assert ada.external_id == "e-1"
    assert not ada.has_usable_password()
    assert not ada.is_staff
    assert told("person.provisioned").details == {"directory": "Test directory"}
    assert told("person.provisioned").tenant is None
    assert told("person.provisioned").acting_as == "directory"


def test_deactivating_ends_sessions_tokens_and_keys_at_once(directory, equipped):
    assert ApiKey.objects.across_tenants().usable().filter(pk=equipped.key.pk).exists()
    assert equipped.browser.get("/t/lab/keys/").status_code == 200
    bearer = {"Authorization": f"Bearer {equipped.secret}"}
    assert Client().get("/api/v1/keys/", headers=bearer).status_code == 200

    assert directory.patch(f"Users/{equipped.pk}", OFF).json()["active"] is False

    assert not ApiKey.objects.across_tenants().usable().filter(pk=equipped.key.pk).exists()
    assert not Session.objects.filter(user=equipped).exists()
    assert equipped.browser.get("/t/lab/keys/").status_code == 302
    assert Client().get("/api/v1/keys/", headers=bearer).status_code == 401
    line = told("person.deactivated")
    assert line.actor is None
    assert line.reason == "The directory (Test directory) said so."
    assert line.details["sessions_ended"] == 1
    assert line.details["suspended"] == 2


def test_reactivating_restores_what_deactivating_took_and_not_what_a_person_revoked(directory, equipped, lab):
    revoked = ApiKeyFactory(tenant=lab, project=equipped.key.project, owner=equipped)
    ApiKey.objects.across_tenants().filter(pk=revoked.pk).update(state="revoked", revoked_at=now())
    gone, _ = issue_personal_access_token(equipped, name="gone", life=timedelta(days=9))
    PersonalAccessToken.objects.filter(pk=gone.pk).update(revoked_at=now())

    directory.patch(f"Users/{equipped.pk}", OFF)
    assert directory.patch(f"Users/{equipped.pk}", ON).json()["active"] is True

    usable = set(ApiKey.objects.across_tenants().usable().values_list("pk", flat=True))
    assert usable == {equipped.key.pk}
    gone.refresh_from_db()
    assert gone.revoked_at is not None
    assert equipped.browser.get("/t/lab/keys/").status_code == 302, "ended sessions stay ended"
    assert told("person.reactivated").details["restored"] == 2


def test_deactivating_twice_says_so_once(directory, ada):
    directory.patch(f"Users/{ada.pk}", OFF)
    directory.patch(f"Users/{ada.pk}", OFF)
    assert AuditEntry.objects.across_tenants().filter(verb="person.deactivated").count() == 1


def test_who_is_deleted_is_gone_for_the_directory_and_stays_for_the_ledger(directory, equipped):
    group = directory.group("Engineers", equipped)
    version = directory.get(f"Groups/{group}")["ETag"]
    assert directory.delete(f"Users/{equipped.pk}").status_code == 204
    assert directory.get(f"Users/{equipped.pk}").status_code == 404
    assert directory.put(f"Users/{equipped.pk}", body()).status_code == 404
    assert directory.patch(f"Users/{equipped.pk}", ON).status_code == 404
    assert directory.delete(f"Users/{equipped.pk}").status_code == 404
    assert directory.get("Users").json()["totalResults"] == 0
    left = directory.get(f"Groups/{group}")
    assert "members" not in left.json()
    assert left["ETag"] != version
    row = User.objects.get(pk=equipped.pk)
    assert not row.is_active
    assert row.email == "ada@example.com"
    assert not ApiKey.objects.across_tenants().usable().exists()
    assert told("person.deprovisioned").details["groups"] == ["Engineers"]


def test_who_is_created_again_comes_back_as_they_were(directory, equipped):
    directory.delete(f"Users/{equipped.pk}")
    back = directory.post("Users", body("ADA@example.com", externalId="e-1"))
    assert back.status_code == 201
    assert back.json()["id"] == str(equipped.pk)
    assert back.json()["active"] is True
    assert ApiKey.objects.across_tenants().usable().filter(pk=equipped.key.pk).exists()
    assert told("person.provisioned").details["again"] is True


def test_an_address_given_to_somebody_else_brings_nothing_of_its_former_owner(directory, equipped):
    directory.delete(f"Users/{equipped.pk}")
    other = directory.person(externalId="e-2")
    assert other.pk != equipped.pk
    assert not other.memberships.exists()
    assert not ApiKey.objects.across_tenants().usable().exists()
    equipped.refresh_from_db()
    assert equipped.email == f"{equipped.pk}@former.invalid"
    assert told("person.address_freed").subject_id == str(equipped.pk)


def test_a_new_address_is_taken_over_and_written_down(directory, ada):
    answer = directory.patch(
        f"Users/{ada.pk}", {"op": "replace", "path": "userName", "value": "Ada.Byron@example.com"}
    )
    assert answer.json()["userName"] == "ada.byron@example.com"
    assert answer.json()["emails"] == [{"value": "ada.byron@example.com", "type": "work", "primary": True}]
    ada.refresh_from_db()
    assert ada.email == "ada.byron@example.com"
    assert told("person.changed").changes == {"email": ["ada@example.com", "ada.byron@example.com"]}


def test_an_address_that_is_somebodys_is_refused(directory, ada):
    directory.person("bea@example.com")
    for answer in (
        directory.post("Users", body("bea@example.com")),
        directory.patch(f"Users/{ada.pk}", {"op": "replace", "path": "userName", "value": "BEA@example.com"}),
        directory.put(f"Users/{ada.pk}", body("bea@example.com")),
    ):
        assert answer.status_code == 409
        assert answer.json()["scimType"] == "uniqueness"
    ada.refresh_from_db()
    assert ada.email == "ada@example.com"


@pytest.mark.parametrize(
    ("sent", "scim_type"),
    [
        ({"schemas": [USER]}, "invalidValue"),
        (body("not an address"), "invalidValue"),
        (body(name="Ada"), "invalidValue"),
        (body(displayName="x" * 151), "invalidValue"),
        (body(externalId="x" * 201), "invalidValue"),
        (body(displayName="nul\x00"), "invalidSyntax"),
        (body(displayName="half \ud800"), "invalidSyntax"),
        (body(active="perhaps"), "invalidValue"),
        (body(emails=[{"value": "no address"}]), "invalidValue"),
        ({"schemas": ["urn:other"], "userName": "a@example.com"}, "invalidSyntax"),
        ([], "invalidSyntax"),
    ],
)
def test_what_makes_no_sense_is_refused_in_scims_words(directory, sent, scim_type):
    answer = directory.post("Users", sent)
    assert answer.status_code == 400, answer.content
    assert answer.json()["scimType"] == scim_type, answer.content
    assert not User.objects.exists()


def test_a_body_that_is_no_json_is_refused(directory, token):
    for raw in ("", "{", "[" * 100_000, '{"userName": NaN}'):
        answer = Client().post(
            "/scim/v2/Users",
            raw,
            content_type="application/scim+json",
            headers={"Authorization": f"Bearer {token.secret}"},
        )
        assert answer.status_code == 400
        assert answer.json()["scimType"] in ("invalidSyntax", "invalidValue")


@pytest.mark.parametrize(
    ("operation", "scim_type"),
    [
        ({"op": "replace", "path": "id", "value": "1"}, "mutability"),
        ({"op": "replace", "path": "groups", "value": []}, "mutability"),
        ({"op": "replace", "path": "meta.created", "value": "2020-01-01T00:00:00Z"}, "mutability"),
        ({"op": "remove", "path": "userName"}, "mutability"),
        ({"op": "remove"}, "noTarget"),
        ({"op": "replace", "path": "emails[", "value": "x"}, "invalidPath"),
        ({"op": "copy", "path": "displayName", "value": "x"}, "invalidValue"),
        ({"op": "replace", "path": "active", "value": "perhaps"}, "invalidValue"),
        ({"op": "replace", "value": "active"}, "invalidValue"),
    ],
)
def test_a_patch_that_makes_no_sense_changes_nothing(directory, ada, operation, scim_type):
    harmless = {"op": "replace", "path": "displayName", "value": "Changed"}
    answer = directory.patch(f"Users/{ada.pk}", harmless, operation)
    assert answer.status_code == 400, answer.content
    assert answer.json()["scimType"] == scim_type, answer.content
    ada.refresh_from_db()
    assert ada.name == "Ada"


def test_put_replaces_the_whole_and_leaves_active_alone_unless_told(directory, ada):
    directory.patch(f"Users/{ada.pk}", OFF)
    answer = directory.put(f"Users/{ada.pk}", body(name={"givenName": "Augusta"}))
    assert answer.status_code == 200
    assert answer.json()["active"] is False
    assert answer.json()["displayName"] == "Augusta"
    assert "externalId" not in answer.json()
    assert "familyName" not in answer.json()["name"]


def test_a_name_put_together_from_its_parts_follows_them(directory):
    bea = directory.person("bea@example.com", name={"givenName": "Bea", "familyName": "Stein"})
    assert bea.name == "Bea Stein"
    directory.patch(f"Users/{bea.pk}", {"op": "replace", "path": "name.familyName", "value": "Berg"})
    bea.refresh_from_db()
    assert bea.name == "Bea Berg"


def test_what_changes_nothing_writes_nothing(directory, ada):
    lines = AuditEntry.objects.across_tenants().count()
    before = directory.get(f"Users/{ada.pk}")
    again = directory.patch(f"Users/{ada.pk}", {"op": "replace", "path": "displayName", "value": "Ada"})
    assert again.json() == before.json()
    assert AuditEntry.objects.across_tenants().count() == lines


def test_directories_neither_see_nor_touch_who_must_get_in_without_them(directory, lab, owner):
    admin = User.objects.create_superuser("root@example.com", "correct horse battery staple")
    service = UserFactory(email="robot@example.com", service_of=lab, password=None)
    erased = UserFactory(email="erased@example.com", erased_at=now(), password=None)
    for hidden in (admin, service, erased, owner, staff("operator", email="ops@example.com")):
        assert directory.get(f"Users/{hidden.pk}").status_code == 404
        assert directory.put(f"Users/{hidden.pk}", body(hidden.email)).status_code == 404
        assert directory.patch(f"Users/{hidden.pk}", OFF).status_code == 404
        assert directory.delete(f"Users/{hidden.pk}").status_code == 404
        assert directory.post("Users", body(hidden.email)).status_code == 409
        assert directory.list("Users", filter=f'userName eq "{hidden.email}"').json()["totalResults"] == 0
        row = User.objects.get(pk=hidden.pk)
        assert row.is_active
        assert row.email == hidden.email


def test_a_person_who_became_superuser_is_out_of_the_directorys_reach(directory, ada):
    group = directory.group("Engineers", ada)
    User.objects.filter(pk=ada.pk).update(is_superuser=True)
    assert directory.delete(f"Users/{ada.pk}").status_code == 404
    assert "members" not in directory.get(f"Groups/{group}").json()


def test_people_who_came_by_themselves_are_known_to_the_directory(directory, lab):
    invited = UserFactory(email="ina@example.com", name="Ina Invited", password=None)
    found = directory.list("Users", filter='userName eq "ina@example.com"').json()["Resources"][0]
    assert found["id"] == str(invited.pk)
    assert found["displayName"] == "Ina Invited"
    assert directory.patch(f"Users/{invited.pk}", OFF).status_code == 200


def test_a_tenant_left_without_an_owner_is_named(directory, ada, lab):
    add_member(lab, ada, "owner", by=None)
    directory.patch(f"Users/{ada.pk}", OFF)
    assert told("person.deactivated").details["tenants_without_owner"] == ["lab"]


def test_operators_deactivate_people_but_neither_themselves_nor_superusers(operator, ada, finance):
    from django.core.exceptions import PermissionDenied

    from core.errors import Conflict

    assert deactivate_person(ada, by=operator, reason="left")
    assert told("person.deactivated").actor == operator
    assert reactivate_person(ada, by=operator, reason="came back")
    admin = User.objects.create_superuser("root@example.com", "correct horse battery staple")
    with pytest.raises(PermissionDenied, match="to your own account"):
        deactivate_person(operator, by=operator, reason="x")
    for by in (operator, None):
        with pytest.raises(PermissionDenied, match="superuser"):
            deactivate_person(admin, by=by, reason="x")
    with pytest.raises(PermissionDenied, match="deactivate and reactivate"):
        deactivate_person(ada, by=finance, reason="x")
    User.objects.filter(pk=ada.pk).update(erased_at=now(), is_active=False)
    with pytest.raises(Conflict, match="erased"):
        reactivate_person(ada, by=operator, reason="x")

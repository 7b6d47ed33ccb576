"""Projects: who makes and changes them, and that nothing of theirs is another tenant's."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, connection, transaction

from audit.models import AuditEntry
from core.errors import Conflict
from core.secrets import new_key_secret
from exports.models import Export
from tenants.actions import change_project, create_project
from tenants.models import Limit, Project
from tests.concurrency import at_the_same_time
from tests.factories import (
    AccessRequestFactory,
    ApiKeyFactory,
    CatalogModelFactory,
    ProjectFactory,
    ReviewFactory,
    TenantFactory,
    member_of,
)
from tests.gateway.granted import key_for


def post(client, **body):
    return client.post("/api/v1/projects/", body, "application/json")


def test_an_admin_creates_and_changes_a_project_on_the_pages(client, lab, developer):
    client.force_login(member_of(lab, "admin"))
    form = {"name": "Letters", "slug": "letters", "cost_centre": "CC", "owner": str(developer.pk)}
    assert client.post("/t/lab/projects/new/", form).status_code == 302
    project = Project.objects.in_tenant(lab).get(slug="letters")
    assert (project.owner, project.cost_centre) == (developer, "CC")
    assert "Letters" in client.get("/t/lab/projects/").content.decode()
    edit = f"/t/lab/projects/{project.pk}/edit/"
    form = {"name": "Mail", "slug": "mail", "cost_centre": "", "owner": ""}
    assert client.post(edit, form).status_code == 302
    project.refresh_from_db()
    assert (project.name, project.slug, project.owner) == ("Mail", "letters", None)
    line = AuditEntry.objects.in_tenant(lab).get(verb="project.changed")
    changes = getattr(line, "changes", None) or line.details["changes"]
    assert changes["owner"] == [developer.email, None]
    assert changes["name"] == ["Letters", "Mail"]


def test_and_over_the_api(client, lab, owner, developer):
    client.force_login(owner)
    made = post(client, tenant="lab", slug="letters", name="Letters", owner=developer.email)
    assert (made.status_code, made.json()["owner"]) == (201, developer.email)
    address = f"/api/v1/projects/{made.json()['id']}/"
    changed = client.patch(address, {"owner": None, "name": "Mail"}, "application/json").json()
    assert (changed["owner"], changed["name"], changed["slug"]) == (None, "Mail", "letters")
    permanent = client.patch(address, {"name": "Post", "slug": "x"}, "application/json")
    assert (permanent.status_code, list(permanent.json()["errors"])) == (400, ["slug"])
    assert client.get(address).json()["name"] == "Mail"


@pytest.mark.parametrize("wrong", ["PO\n1", "PO\x00", "PO\u202e1", "\u200b", "1" * 61])
def test_a_purchase_order_is_one_line_of_60_characters_that_can_be_seen(client, project, owner, wrong):
    client.force_login(owner)
    page = f"/t/lab/projects/{project.pk}/edit/"
    answer = client.post(page, {"name": "Letters", "purchase_order": wrong})
    assert (answer.status_code, [*answer.context["form"].errors]) == (400, ["purchase_order"])
    answer = client.patch(f"/api/v1/projects/{project.pk}/", {"purchase_order": wrong}, "application/json")
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, ["purchase_order"])
    project.refresh_from_db()
    assert project.purchase_order == ""


def test_finance_sees_a_projects_own_purchase_order_and_cannot_change_it(
    client, lab, project, owner, finance
):
    change_project(project.pk, by=owner, purchase_order=" PO-4711 ")
    line = AuditEntry.objects.in_tenant(lab).get(verb="project.changed")
    assert line.changes == {"purchase_order": ["", "PO-4711"]}
    client.force_login(finance)
    assert "PO-4711" in client.get("/t/lab/projects/").content.decode()
    api = f"/api/v1/projects/{project.pk}/"
    assert client.get(api).json()["purchase_order"] == "PO-4711"
    assert client.patch(api, {"purchase_order": ""}, "application/json").status_code == 403


def test_a_release_that_knows_no_purchase_order_can_still_insert_projects(lab):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants_project (id, tenant_id, slug, name, cost_centre, created_at) "
            "VALUES (gen_random_uuid(), %s, 'old', 'Old', '', now())",
            [lab.pk],
        )
    assert Project.objects.in_tenant(lab).get(slug="old").purchase_order == ""


def test_answers_come_in_the_order_of_the_house(client, lab, project, owner, stranger):
    client.force_login(stranger)
    assert post(client, tenant="lab").status_code == 404
    assert client.patch(f"/api/v1/projects/{project.pk}/", {}, "application/json").status_code == 404
    client.force_login(member_of(lab, "developer"))
    assert post(client, tenant="lab").status_code == 403
    assert (
        client.patch(f"/api/v1/projects/{project.pk}/", {"name": ""}, "application/json").status_code == 403
    )
    assert client.get("/t/lab/projects/new/").status_code == 403
    client.force_login(owner)
    lab.status = "suspended"
    lab.save()
    assert post(client, tenant="lab").status_code == 409
    assert client.post("/t/lab/projects/new/", {}).status_code == 409
    lab.status = "active"
    lab.save()
    assert post(client, tenant="lab").status_code == 400
    assert post(client).status_code == 400
    assert client.post("/t/lab/projects/new/", {}).status_code == 400


def test_every_member_sees_the_projects(client, lab, project):
    client.force_login(member_of(lab, "viewer"))
    page = client.get("/t/lab/projects/").content.decode()
    assert "Letters" in page
    assert "New project" not in page


def test_the_owner_of_a_project_is_a_member(lab, owner, stranger):
    with pytest.raises(ValidationError, match="Choose a member of Lab"):
        create_project(lab, by=owner, slug="letters", name="Letters", owner=stranger)
    project = create_project(lab, by=owner, slug="letters", name="Letters", owner=owner)
    with pytest.raises(ValidationError):
        change_project(project.pk, by=owner, owner=stranger)


def test_the_form_offers_members_alone(client, lab, owner, stranger):
    client.force_login(owner)
    assert stranger.email not in client.get("/t/lab/projects/new/").content.decode()
    answer = client.post("/t/lab/projects/new/", {"name": "A", "slug": "a", "owner": str(stranger.pk)})
    assert answer.status_code == 400


def test_a_stranger_changes_nothing(project, stranger, lab):
    with pytest.raises(Project.DoesNotExist):
        change_project(project.pk, by=stranger, name="Mine")
    with pytest.raises(PermissionDenied):
        create_project(lab, by=stranger, slug="mine", name="Mine")


def test_a_slug_is_taken_once_in_a_tenant(lab, project, owner):
    with pytest.raises(Conflict, match="already has a project with the slug letters"):
        create_project(lab, by=owner, slug="letters", name="Again")
    create_project(TenantFactory(), by=None, slug="letters", name="Elsewhere")


def test_no_slug_is_a_key(lab, owner):
    secret = new_key_secret()
    with pytest.raises(ValidationError) as refused:
        create_project(lab, by=owner, slug=secret, name="Key")
    assert list(refused.value.message_dict) == ["slug"]
    assert secret not in str(refused.value)
    # Too short for a key, though it begins like one.
    create_project(lab, by=owner, slug="qm_letters", name="Letters")


@pytest.mark.django_db(transaction=True)
def test_two_who_take_the_same_slug_at_once_get_a_conflict_not_an_error(lab, owner):
    outcomes = at_the_same_time(
        lambda: create_project(lab, by=owner, slug="same", name="A"),
        lambda: create_project(lab, by=owner, slug="same", name="B"),
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict", "Project"]


def test_the_list_asks_as_often_for_many_projects(client, lab, owner, django_assert_max_num_queries):
    client.force_login(owner)
    for number in range(20):
        ProjectFactory(tenant=lab, owner=owner, name=f"P{number}")
    with django_assert_max_num_queries(20):
        client.get("/t/lab/projects/")


@pytest.fixture
def elsewhere(db):
    """A project of another tenant."""
    return ProjectFactory(tenant=TenantFactory())


def run(sql, *parameters):
    """Raw SQL, with the constraints that wait for the commit checked at once."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(sql, parameters)


@pytest.mark.parametrize(
    "table", ["tenants_apikey", "tenants_limit", "catalog_requestitem", "exports_export"]
)
def test_the_database_keeps_a_row_and_its_project_in_one_tenant(lab, project, owner, elsewhere, table):
    rows = {
        "tenants_apikey": lambda: ApiKeyFactory(tenant=lab, project=project),
        "tenants_limit": lambda: Limit.objects.create(
            tenant=lab, project=project, kind="tokens_per_day", value=1
        ),
        "catalog_requestitem": lambda: AccessRequestFactory(tenant=lab, project=project).items.get(),
        "exports_export": lambda: Export.objects.create(
            tenant=lab,
            kind="costs",
            project=project,
            start_day="2026-10-01",
            end_day="2026-10-02",
            requested_by=owner,
        ),
    }
    row = rows[table]()
    with pytest.raises(IntegrityError, match=r"project_of_tenant|what was requested"):
        run(f"UPDATE {table} SET project_id = %s WHERE id = %s", elsewhere.pk, row.pk)


def test_so_do_limits_and_their_key_reviews_and_their_request_items_and_their_key(lab, project, elsewhere):
    foreign = ApiKeyFactory(tenant=elsewhere.tenant, project=elsewhere)
    own = key_for(project, CatalogModelFactory())
    limit = Limit.objects.create(tenant=lab, key=own, kind="tokens_per_day", value=1)
    with pytest.raises(IntegrityError, match="limit_key_of_tenant"):
        run("UPDATE tenants_limit SET key_id = %s WHERE id = %s", foreign.pk, limit.pk)
    with pytest.raises(IntegrityError, match="what was requested"):
        run("UPDATE catalog_requestitem SET key_id = %s WHERE key_id = %s", foreign.pk, own.pk)
    review = ReviewFactory(tenant=lab)
    with pytest.raises(IntegrityError, match="review_request_of_tenant"):
        run("UPDATE catalog_review SET tenant_id = %s WHERE id = %s", elsewhere.tenant_id, review.pk)

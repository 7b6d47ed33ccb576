"""People choose among few rows in a select box; among many they type a name and get suggestions, of their own rows."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from catalog.models import RequestItem
from core.choices import MOST
from tenants.models import ApiKey, Membership, Project, ProjectRole, Tenant
from tests.factories import (
    ApiKeyFactory,
    CatalogModelFactory,
    ClusterFactory,
    DeploymentFactory,
    ModelVersionFactory,
    ProjectFactory,
    TenantFactory,
    UserFactory,
    member_of,
    staff,
)

pytestmark = pytest.mark.django_db
MANY = MOST + 5


@pytest.fixture
def many_projects(lab, project):
    Project.objects.across_tenants().bulk_create(
        Project(tenant=lab, slug=f"team-{n:02}", name=f"Team number {n:02}") for n in range(MANY)
    )


@pytest.fixture
def many_members(lab):
    people = [UserFactory(email=f"one-{n:02}@example.com", name=f"One {n:02}") for n in range(MANY)]
    Membership.objects.across_tenants().bulk_create(
        Membership(tenant=lab, user=person, role="developer") for person in people
    )
    return people


@pytest.fixture
def many_robots(lab):
    return [
        member_of(
            lab, "developer", name=f"robot {n:02}", email=f"robot-{n:02}@lab.service.invalid", service_of=lab
        )
        for n in range(MANY)
    ]


def options(response):
    return re.findall(r'<option value="([^"]+)"', response.content.decode())


def asking(**said):
    return {
        "purpose": "Letters.",
        "data_class": "internal",
        "expected_tokens_per_day": "9",
        "duration_days": "9",
    } | said


def control(response, name):
    """What a page has for a field: the name of its element."""
    found = re.search(rf'<(\w+)[^>]* name="{name}"', response.content.decode())
    return found and found[1]


def test_few_projects_are_a_select_box_and_either_name_is_understood(client, developer, lab, project):
    model = CatalogModelFactory(name="glm-4.6")
    client.force_login(developer)
    page = f"/t/lab/models/{model.name}/request/"
    assert control(client.get(page), "project") == "select"
    assert client.post(page, asking(project=str(project.pk))).status_code == 302
    assert client.post(page, asking(project=project.slug)).status_code == 409  # one is open already
    assert RequestItem.objects.in_tenant(lab).get().project == project


def test_among_many_a_project_is_named_by_its_slug(client, developer, lab, many_projects):
    model = CatalogModelFactory(name="glm-4.6")
    client.force_login(developer)
    page = f"/t/lab/models/{model.name}/request/"
    shown = client.get(page)
    assert control(shown, "project") == "input"
    assert len(options(shown)) == MOST
    assert client.post(page, asking(project="team-29")).status_code == 302
    assert RequestItem.objects.in_tenant(lab).get().project.slug == "team-29"


@pytest.mark.parametrize("name", ["team-99", "foreign", "Team number 01", "team", "\0", "'", " ", ""])
def test_what_names_no_project_of_ones_own_is_said_beside_the_field(
    client, developer, lab, many_projects, name
):
    ProjectFactory(tenant=TenantFactory(slug="elsewhere"), slug="foreign")
    model = CatalogModelFactory(name="glm-4.6")
    client.force_login(developer)
    answer = client.post(f"/t/lab/models/{model.name}/request/", asking(project=name))
    assert answer.status_code == 400
    assert 'id="id_project_error"' in answer.content.decode()
    assert not RequestItem.objects.in_tenant(lab).exists()


def test_a_projects_owner_is_named_by_address(client, owner, lab, project, many_members, stranger):
    client.force_login(owner)
    page = f"/t/lab/projects/{project.pk}/edit/"
    assert control(client.get(page), "owner") == "input"
    for said, wanted in {
        "One-07@Example.com": many_members[7],
        "": None,
        str(many_members[3].pk): many_members[3],
    }.items():
        assert client.post(page, {"name": "Letters", "owner": said}).status_code == 302, said
        project.refresh_from_db()
        assert project.owner == wanted
    assert 'value="one-03@example.com"' in client.get(page).content.decode()
    for said in (stranger.email, str(stranger.pk), "one-99@example.com", "one-0"):
        assert client.post(page, {"name": "Letters", "owner": said}).status_code == 400, said
    project.refresh_from_db()
    assert project.owner == many_members[3]


def test_a_key_is_claimed_for_a_service_account_among_many(
    client, developer, lab, project, many_robots, stranger
):
    key = ApiKeyFactory.claimable(tenant=lab, project=project)
    client.force_login(developer)
    page = reverse("key-claim", args=["lab", key.pk])
    assert control(client.get(page), "owner") == "input"
    for said in (stranger.email, "robot-99@lab.service.invalid", developer.email):
        assert client.post(page, {"owner": said}).status_code == 400
    assert client.post(page, {"owner": "robot-07@lab.service.invalid"}).status_code == 200
    assert ApiKey.objects.in_tenant(lab).get(pk=key.pk).owner == many_robots[7]


def test_a_role_in_one_of_many_projects_is_given_by_the_projects_slug(
    client, owner, lab, developer, many_projects
):
    member = Membership.objects.in_tenant(lab).get(user=developer)
    client.force_login(owner)
    assert control(client.get(reverse("member-detail", args=["lab", member.pk])), "project") == "input"
    give = reverse("member-project-role", args=["lab", member.pk])
    assert client.post(give, {"project": "team-03", "role": "viewer", "confirmed": "on"}).status_code == 302
    assert ProjectRole.objects.in_tenant(lab).get().project.slug == "team-03"
    foreign = ProjectFactory(tenant=TenantFactory(slug="elsewhere"), slug="foreign")
    assert client.post(give, {"project": "foreign", "role": "viewer"}).status_code == 400
    assert client.post(give, {"project": str(foreign.pk), "role": "viewer"}).status_code == 404


def test_a_members_roles_in_many_projects_are_shown_in_pages(client, owner, lab, developer, many_projects):
    member = Membership.objects.in_tenant(lab).get(user=developer)
    projects = Project.objects.in_tenant(lab).order_by("name")
    ProjectRole.objects.across_tenants().bulk_create(
        ProjectRole(tenant=lab, membership=member, project=one, role="viewer") for one in projects
    )
    client.force_login(owner)
    page = reverse("member-detail", args=["lab", member.pk])
    first = client.get(page).content.decode()
    way = re.search(r'rel="next"\s+href="([^"#]+)', first)[1]
    second = client.get(page + way).content.decode()
    found = [re.findall(r'<th scope="row">([^<]+)</th>', text) for text in (first, second)]
    assert found[0] + found[1] == [one.name for one in projects]
    assert len(found[0]) == 25


def test_operators_name_a_tenant_among_many(client, operator):
    Tenant.objects.bulk_create(Tenant(slug=f"tenant-{n:02}x", name=f"Tenant {n:02}") for n in range(MANY))
    client.force_login(operator)
    rule = reverse("admin:directory_groupmapping_begin")
    assert control(client.get(rule), "tenant") == "input"
    answer = client.post(rule, {"group": "people", "tenant": "tenant-07x", "role": "viewer"})
    assert answer.context["preview"] is not None
    assert "Tenant 07" in answer.content.decode()
    assert client.post(rule, {"group": "people", "tenant": "tenant-99x", "role": "viewer"}).status_code == 422
    client.force_login(staff("controller"))
    report = reverse("admin:exports_export_new_report")
    assert control(client.get(report), "tenant") == "input"
    assert client.post(report, {"tenant": "tenant-99x", "month": "2026-10"}).status_code == 422
    assert client.post(report, {"tenant": "tenant-07x", "month": "2026-10"}).status_code == 302


def test_suggestions_begin_as_typed_and_are_few(
    client, developer, lab, many_projects, many_members, many_robots
):
    for n in range(MANY):
        ApiKeyFactory(
            tenant=lab,
            project=Project.objects.in_tenant(lab).first(),
            name=f"key {n:02}",
            prefix=f"qm_k{n:02}",
        )
    client.force_login(developer)

    def suggested(kind, term):
        return options(client.get(f"/t/lab/suggestions/{kind}/", {"of": "field", "field": term}))

    for kind in ("projects", "members", "service-accounts", "keys"):
        assert len(suggested(kind, "")) == MOST
        for nothing in ("\0", "%", "umber", "x" * 2000):
            assert suggested(kind, nothing) == [], (kind, nothing)
    assert suggested("projects", "team number 0") == [f"team-0{n}" for n in range(10)]
    assert suggested("projects", "team-03") == ["team-03"]
    assert suggested("members", "one 07") == ["one-07@example.com"] == suggested("members", "one-07")
    assert suggested("service-accounts", "robot 07") == ["robot-07@lab.service.invalid"]
    assert suggested("service-accounts", "one") == []
    assert suggested("keys", "key 07") == ["qm_k07"]
    project, other = Project.objects.in_tenant(lab).first(), Project.objects.in_tenant(lab).last()
    for within, wanted in ((project, ["qm_k07"]), (other, [])):
        assert options(client.get(f"/t/lab/suggestions/keys/?in={within.pk}&q=key 07")) == wanted
    assert client.get("/t/lab/suggestions/secrets/").status_code == 404


def test_suggestions_name_nothing_of_others(client, stranger, lab, many_projects, many_members, many_robots):
    client.force_login(stranger)
    for kind in ("projects", "members", "service-accounts", "keys"):
        assert client.get(f"/t/lab/suggestions/{kind}/").status_code == 404
        found = options(client.get(f"/t/elsewhere/suggestions/{kind}/"))
        assert set(found) <= {stranger.email}
    assert options(client.get("/tenants/suggestions/")) == ["elsewhere"]
    assert options(client.get("/tenants/suggestions/?q=Lab")) == []
    client.logout()
    assert client.get("/tenants/suggestions/").status_code == 302


def test_reviewers_are_told_no_members_and_keys(client, lab, many_members, many_robots, security_reviewer):
    ApiKeyFactory(tenant=lab)
    client.force_login(security_reviewer)
    for kind in ("members", "service-accounts", "keys"):
        assert options(client.get(f"/t/lab/suggestions/{kind}/")) == [], kind


def test_whoever_deploys_gets_suggestions_of_versions_and_clusters(client, operator, controller):
    versions = [
        ModelVersionFactory(model=CatalogModelFactory(name=f"model-{n:02}y"), version="fp8")
        for n in range(MANY)
    ]
    for n in range(MANY):
        DeploymentFactory(cluster=ClusterFactory(name=f"cluster-{n:02}y"), version=versions[n])
    client.force_login(operator)
    add = client.get(reverse("admin:deployments_deployment_add"))
    assert (control(add, "version"), control(add, "cluster")) == ("input", "input")
    where = "admin:deployments_deployment_suggestions"
    assert options(client.get(reverse(where, args=["versions"]), {"q": "model-07y"})) == ["model-07y fp8"]
    assert options(client.get(reverse(where, args=["clusters"]), {"q": "cluster-0"})) == [
        f"cluster-0{n}y" for n in range(10)
    ]
    wrong = client.post(
        reverse("admin:deployments_deployment_add"), {"version": "model-07y", "cluster": "nowhere"}
    )
    assert {"version", "cluster"} <= set(wrong.context["adminform"].form.errors)
    client.force_login(controller)
    assert client.get(reverse(where, args=["versions"])).status_code == 403

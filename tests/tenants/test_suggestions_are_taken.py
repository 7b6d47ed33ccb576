"""A field takes whatever it suggests, while somebody types too; and keeps what was chosen before."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.urls import reverse

from core.choices import HINT, MOST
from tenants.actions import set_project_role
from tenants.models import Membership, Project, Tenant
from tests.factories import (
    ApiKeyFactory,
    CatalogModelFactory,
    ModelVersionFactory,
    ProjectFactory,
    TenantFactory,
    member_of,
    staff,
)

pytestmark = pytest.mark.django_db
MANY = MOST + 5


def options(text):
    return re.findall(r'<option value="([^"]+)"', text)


def suggested(client, page, name, typed=""):
    """What the field of that name suggests when `typed` stands in it, by the address in the page."""
    shown = re.search(rf'<input[^>]* name="{name}"[^>]*>', client.get(page).content.decode())[0]
    source = unescape(re.search(r'hx-get="([^"]+)"', shown)[1])
    answer = client.get(source, {name: typed} | dict(re.findall(r"[?&](\w+)=([^&]+)", source)))
    assert answer.status_code == 200
    return options(answer.content.decode())


def add_people(lab, begins, **fields):
    return [
        member_of(lab, "developer", name=f"{begins} {n:02}", email=f"{begins}-{n:02}@example.com", **fields)
        for n in range(MANY)
    ]


def test_projects_to_ask_for_are_those_where_one_may_ask(client, developer, owner, lab):
    Project.objects.across_tenants().bulk_create(
        Project(tenant=lab, slug=f"team-{n:02}", name=f"Team {n:02}") for n in range(MANY)
    )
    member = Membership.objects.in_tenant(lab).get(user=developer)
    closed = Project.objects.in_tenant(lab).get(slug="team-03")
    set_project_role(closed.pk, member.pk, "viewer", by=owner)
    model = CatalogModelFactory(name="glm-4.6")
    client.force_login(developer)
    found = suggested(client, f"/t/lab/models/{model.name}/request/", "project", "team-0")
    assert found == [f"team-0{n}" for n in range(10) if n != 3]
    assert suggested(client, f"/t/lab/models/{model.name}/request/", "project", "team-03") == []


def test_tokens_of_staff_are_for_their_own_tenants(client):
    person = staff("operator")
    mine = Tenant.objects.bulk_create(Tenant(slug=f"own-{n:02}", name=f"Own {n:02}") for n in range(MANY))
    Membership.objects.across_tenants().bulk_create(
        Membership(tenant=tenant, user=person, role="viewer") for tenant in mine
    )
    TenantFactory(slug="own-foreign", name="Own foreign")
    client.force_login(person)
    page = reverse("token-new")
    assert suggested(client, page, "tenant", "own-0") == [f"own-0{n}" for n in range(10)]
    assert suggested(client, page, "tenant", "own-f") == []
    assert client.get(f"{reverse('tenant-suggestions')}?among=others").status_code == 404


def test_rules_of_groups_are_for_tenants_that_are_not_closed(client, operator):
    Tenant.objects.bulk_create(
        Tenant(slug=f"one-{n:02}", name=f"One {n:02}", status="closed" if n == 4 else "active")
        for n in range(MANY + 1)
    )
    client.force_login(operator)
    page = reverse("admin:directory_groupmapping_begin")
    assert suggested(client, page, "tenant", "one-0") == [f"one-0{n}" for n in range(10) if n != 4]
    assert suggested(client, page, "tenant", "one-04") == []


def test_a_key_is_claimed_for_service_accounts_that_may_hold_it(client, developer, lab, project):
    robots = add_people(lab, "robot", service_of=lab)
    Membership.objects.in_tenant(lab).filter(user=robots[5]).update(role="viewer")
    key = ApiKeyFactory.claimable(tenant=lab, project=project)
    client.force_login(developer)
    page = reverse("key-claim", args=["lab", key.pk])
    assert suggested(client, page, "owner", "robot-05") == []
    assert suggested(client, page, "owner", "robot-06") == ["robot-06@example.com"]
    foreign = ProjectFactory(tenant=TenantFactory(slug="elsewhere"))
    within = f"/t/lab/suggestions/service-accounts/?in={foreign.pk}"
    assert options(client.get(within).content.decode()) == []


def test_nobody_inherits_from_themselves(client, owner, lab, project):
    departing, *_others = add_people(lab, "one")
    Project.objects.in_tenant(lab).filter(pk=project.pk).update(owner=departing)
    member = Membership.objects.in_tenant(lab).get(user=departing)
    client.force_login(owner)
    page = reverse("member-remove", args=["lab", member.pk])
    name = re.search(r'name="(\w+_to)"', client.get(page).content.decode())[1]
    assert suggested(client, page, name, "one-0") == [f"one-0{n}@example.com" for n in range(1, 10)]


def test_every_model_of_a_project_is_suggested(client, owner, lab, project, stranger, security_reviewer):
    names = [f"model-{n:02}" for n in range(MANY)]
    ApiKeyFactory(tenant=lab, project=project, model_names=names)
    ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab), model_names=["model-of-others"])
    client.force_login(owner)
    page = f"/t/lab/projects/{project.pk}/limits/"
    assert suggested(client, page, "model", "model-29") == ["model-29"]
    assert suggested(client, page, "model", "model-o") == suggested(client, page, "model", "odel") == []
    assert len(suggested(client, page, "model")) == MOST
    assert str(HINT) in client.get(page).content.decode()
    assert client.get(page, {"model": "model-29"}).status_code == 200
    for person in (security_reviewer, stranger):
        client.force_login(person)
        found = client.get(f"/t/lab/suggestions/models/?in={project.pk}")
        assert options(found.content.decode()) == []


def test_every_version_of_a_model_is_suggested(client, operator):
    model = CatalogModelFactory(name="glm-4.6")
    for n in range(MANY):
        ModelVersionFactory(model=model, version=f"v{n:02}")
    client.force_login(operator)
    page = reverse("admin:deployments_deployment_add")
    assert suggested(client, page, "version", "glm-4.6 v29") == ["glm-4.6 v29"]
    assert suggested(client, page, "version", "glm-4.6 v0") == [f"glm-4.6 v0{n}" for n in range(10)]
    for nothing in ("glm-4.6 29", "\0 v1", "glm-4.6 \0"):
        assert suggested(client, page, "version", nothing) == []


@pytest.mark.parametrize("count", [3, MANY])
@pytest.mark.parametrize("leaves", ["disabled", "removed"])
def test_a_project_keeps_an_owner_who_cannot_be_chosen_any_more(client, owner, lab, project, count, leaves):
    people = [member_of(lab, "developer", email=f"one-{n:02}@example.com") for n in range(count)]
    gone, other = people[:2]
    Project.objects.in_tenant(lab).filter(pk=project.pk).update(owner=gone)
    if leaves == "disabled":
        type(gone).objects.filter(pk=gone.pk).update(is_active=False)
    else:
        Membership.objects.in_tenant(lab).filter(user=gone).delete()
    client.force_login(owner)
    page = f"/t/lab/projects/{project.pk}/edit/"
    shown = client.get(page).content.decode()
    kept = re.search(r'<option value="([^"]+)"\s+selected', shown) if count == 3 else None
    kept = kept or re.search(r'name="owner" value="([^"]+)"', shown)
    assert client.post(page, {"name": "Renamed", "owner": kept[1]}).status_code == 302
    project.refresh_from_db()
    assert (project.name, project.owner) == ("Renamed", gone)
    assert client.patch(
        f"/api/v1/projects/{project.pk}/", {"name": "Again"}, "application/json"
    ).status_code == 200  # fmt: skip
    assert client.post(page, {"name": "Other", "owner": other.email}).status_code == 302
    assert client.post(page, {"name": "Back", "owner": gone.email}).status_code == 400
    project.refresh_from_db()
    assert (project.name, project.owner) == ("Other", other)

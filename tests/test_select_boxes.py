"""No select box, list of suggestions or filter offers a whole table, and no page asks more where there is more."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest
from django import forms
from django.db import connection
from django.test.utils import CaptureQueriesContext

import billing
import catalog
import deployments
import gateway
import tenants
from accounts.models import User
from core.choices import MOST, PickField
from tenants.models import ApiKey, Membership, Project, ProjectRole, Tenant
from tests.factories import (
    ApiKeyFactory,
    CatalogModelFactory,
    ClusterFactory,
    DeploymentFactory,
    UserFactory,
)
from tests.isolation.sweep import ACCOUNT, ADMIN, PORTAL, address, fill_lab, undone

pytestmark = pytest.mark.django_db
FEW, MANY = 3, 60
NAME = re.compile(r"crowd-[a-z]+-\d+")


def crowd(lab, person, first, last):
    """Rows of every table that grows with those who use it, all of them called crowd-something."""
    numbers = range(first, last)
    unscoped = lab.tenant
    others = Tenant.objects.bulk_create(
        Tenant(slug=f"crowd-tenant-{n}", name=f"crowd-tenant-{n}") for n in numbers
    )
    Membership.objects.across_tenants().bulk_create(
        Membership(tenant=other, user=person, role="viewer") for other in others
    )
    people = User.objects.bulk_create(
        [User(email=f"crowd-person-{n}@example.com", name=f"crowd-person-{n}") for n in numbers]
        + [
            User(email=f"crowd-robot-{n}@lab.service.invalid", name=f"crowd-robot-{n}", service_of=unscoped)
            for n in numbers
        ]
    )
    for one in people:
        Membership.objects.create(tenant=unscoped, user=one, role="developer")
    projects = Project.objects.across_tenants().bulk_create(
        Project(tenant=unscoped, slug=f"crowd-project-{n}", name=f"crowd-project-{n}") for n in numbers
    )
    ApiKey.objects.across_tenants().bulk_create(
        ApiKeyFactory.build(
            tenant=unscoped, project=lab.project, name=f"crowd-key-{n}", model_names=[f"crowd-model-{n}"]
        )
        for n in numbers
    )
    member = lab.row("tenants.membership")
    ProjectRole.objects.across_tenants().bulk_create(
        ProjectRole(tenant=unscoped, membership=member, project=project, role="viewer")
        for project in projects
    )
    for n in numbers:
        CatalogModelFactory(name=f"crowd-model-{n}", title=f"crowd-model-{n}")
        DeploymentFactory(name=f"crowd-deployment-{n}", cluster=ClusterFactory(name=f"crowd-cluster-{n}"))


@pytest.fixture
def full_lab(lab, developer):
    return fill_lab(lab, developer)


def pages(lab):
    return [(route, address(route, lab)) for route in [*PORTAL, *ACCOUNT, *ADMIN] if "get" in route.methods]


def lists_in(response):
    """How many rows of the crowd each select box, list of suggestions and filter of a page names."""
    text = response.content.decode()
    for kind in ("select", "datalist"):
        for attrs, inner in re.findall(rf"<{kind}\b([^>]*)>(.*?)</{kind}>", text, re.S):
            yield f"{kind}{attrs}", len(set(NAME.findall(inner)))
    listed = (response.context or {}).get("cl")
    for spec in getattr(listed, "filter_specs", []):
        shown = " ".join(str(choice.get("display")) for choice in spec.choices(listed))
        yield f"filter {spec.title}", len(set(NAME.findall(shown)))


def asked(client, url):
    with undone(), CaptureQueriesContext(connection) as queries:
        response = client.get(url)
    return response, len(queries)


@pytest.mark.parametrize("is_operator", [False, True])
def test_no_page_offers_a_whole_table_or_asks_once_for_each_row(client, full_lab, owner, is_operator):
    client.force_login(UserFactory(is_staff=True, is_superuser=True) if is_operator else owner)
    crowd(full_lab, owner, 0, FEW)
    few = {url: asked(client, url)[1] for _route, url in pages(full_lab)}
    crowd(full_lab, owner, FEW, MANY)
    seen, wide, dear = set(), [], []
    for _route, url in pages(full_lab):
        response, count = asked(client, url)
        if response.status_code != 200 or response.streaming:
            continue
        for what, rows in lists_in(response):
            seen.add(what.partition(" ")[0])
            if rows > MOST:
                wide.append(f"{url}: {what} names {rows}")
        if count > few[url] + MOST // 2:
            dear.append(f"{url}: {few[url]} queries became {count}")
    assert seen == ({"select", "datalist", "filter"} if is_operator else {"select", "datalist"})
    assert wide == []
    assert dear == []


def forms_of_ours():
    """Every form that our apps declare, wherever it is shown."""
    for app in (tenants, billing, catalog, deployments, gateway):
        for found in pkgutil.walk_packages(app.__path__, f"{app.__name__}."):
            if not re.search(
                r"\.(migrations|management|proxy|litellm_plugin|engine|engine_host)(\.|$)|__main__",
                found.name,
            ):
                importlib.import_module(found.name)
    kinds = [forms.BaseForm]
    for kind in kinds:
        kinds += kind.__subclasses__()
    ours = {app.__name__ for app in (tenants, billing, catalog, deployments, gateway)}
    return [
        kind for kind in kinds if kind.__module__.split(".")[0] in ours and getattr(kind, "base_fields", None)
    ]


def test_rows_are_chosen_by_one_field_everywhere():
    """It is a select box while they are few. Another choice of rows would be a select box for ever."""
    found = [(kind, name, field) for kind in forms_of_ours() for name, field in kind.base_fields.items()]
    choices = [one for one in found if isinstance(one[2], forms.ModelChoiceField)]
    assert len(choices) >= 8
    assert [one[:2] for one in choices if not isinstance(one[2], PickField)] == []

"""Two thousand tenants of fifty people cost a page no more questions than twenty do, and none grows slow."""

from __future__ import annotations

from functools import partial

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from core.scope import platform_scope, tenant_scope
from tenants import actions
from tenants.models import ApiKey, Membership, Project, Tenant
from tenants.permissions import _ask_for_permissions, permissions_in, projects_where, tenants_where
from tenants.roles import ROLE_PERMISSIONS, Role
from tests.databases import as_owner, renew_clone
from tests.many_tenants import MEMBERS, analyze, make_tenants

# All tests, those too that ask the database nothing: pytest-django runs tests with a database first, and would make the
# crowd a second time for the others.
pytestmark = pytest.mark.django_db
FEW, MANY = 20, 2_000


def person(number, tenant=7):
    return User.objects.get(email=f"person-{number}@many-{tenant}.example.com")


OWNER, DEVELOPER = partial(person, 1), partial(person, 10)


def tenant():
    return Tenant.objects.get(slug="many-7")


def consultant():
    """A developer of the first twenty tenants."""
    found = User.objects.filter(email="consultant@example.com").first()
    if found is None:
        found = User.objects.create_user("consultant@example.com")
        for number in range(1, FEW + 1):
            actions.add_member(Tenant.objects.get(slug=f"many-{number}"), found, "developer", by=None)
        found = User.objects.get(pk=found.pk)
    return found


def page(url, who, *args):
    def prepare():
        client = Client()
        client.force_login(who())
        return lambda: client.get(reverse(url, args=args))

    return prepare


def api(path, who):
    def prepare():
        client = Client()
        client.force_login(who())
        return lambda: client.get(f"/api/v1/{path}")

    return prepare


def question(who, ask):
    def prepare():
        user, where = who(), tenant()
        return lambda: ask(user, where)

    return prepare


def every_action(user, where):
    """All that pages might ask: every action on the tenant and on each of its projects."""
    for project in Project.objects.visible_to(user).in_tenant(where):
        for action in set().union(*ROLE_PERMISSIONS.values()):
            user.has_perm(f"tenants.{action}", where)
            user.has_perm(f"tenants.{action}", project)


QUESTIONS = {
    # what is asked, and how many queries it takes at most
    "tenants visible to a member": (question(DEVELOPER, lambda u, t: list(Tenant.objects.visible_to(u))), 1),
    "tenants visible to a consultant": (
        question(consultant, lambda u, t: list(Tenant.objects.visible_to(u))),
        1,
    ),
    "keys visible to a member": (
        question(DEVELOPER, lambda u, t: list(ApiKey.objects.visible_to(u)[:25])),
        1,
    ),
    "projects visible to a member": (
        question(DEVELOPER, lambda u, t: list(Project.objects.visible_to(u))),
        1,
    ),
    "members of a tenant": (
        question(
            OWNER,
            lambda u, t: [
                str(m.user) for m in Membership.objects.visible_to(u).in_tenant(t).select_related("user")
            ],
        ),
        1,
    ),
    "has_perm": (question(DEVELOPER, lambda u, t: u.has_perm("tenants.claim_key", t)), 1),
    "has_perm of every action on the tenant and its projects": (question(DEVELOPER, every_action), 2),
    "permissions_in": (question(DEVELOPER, permissions_in), 1),
    "projects_where": (question(DEVELOPER, lambda u, t: list(projects_where(u, "tenants.claim_key", t))), 2),
    "tenants_where": (question(consultant, lambda u, t: list(tenants_where(u, "tenants.claim_key"))), 1),
    "the tenant's home": (page("tenant-home", DEVELOPER, "many-7"), 16),
    "the switcher of a consultant": (page("tenant-home", consultant, "many-7"), 16),
    "the keys page": (page("key-list", DEVELOPER, "many-7"), 10),
    "the requests page": (page("request-list", DEVELOPER, "many-7"), 10),
    "the members page": (page("member-list", OWNER, "many-7"), 11),
    "the page of one's tenants": (page("tenant-list", consultant), 6),
    "the API's tenants": (api("tenants/", consultant), 6),
    "the API's projects": (api("projects/", consultant), 6),
    "the API's audit log": (api("audit/", OWNER), 7),
}


def count(prepare):
    ask = prepare()
    with CaptureQueriesContext(
        connection,
    ) as asked:
        answer = ask()
    assert getattr(answer, "status_code", 200) == 200
    return len(asked), [query["sql"] for query in asked.captured_queries]


@pytest.fixture(scope="module")
def counts(django_db_setup, django_db_blocker):
    """By question, the queries it takes among twenty tenants and among two thousand, which are there afterwards."""
    with django_db_blocker.unblock(), platform_scope("a test's tenants"):
        with transaction.atomic():
            make_tenants(1, FEW)
        for prepare, _most in QUESTIONS.values():
            # Content types are remembered from the first time on.
            count(prepare)
        few = {name: count(prepare) for name, (prepare, _most) in QUESTIONS.items()}
        with as_owner(), transaction.atomic():
            make_tenants(FEW + 1, MANY)
            analyze()
        many = {name: count(prepare) for name, (prepare, _most) in QUESTIONS.items()}
    yield {name: (few[name], many[name]) for name in QUESTIONS}
    with django_db_blocker.unblock():
        renew_clone()


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_number_of_queries_does_not_grow(counts, name):
    (few, _), (many, asked) = counts[name]
    assert few == many
    assert many <= QUESTIONS[name][1], "\n".join(asked)


def test_the_crowd_is_there(counts):
    assert Tenant.objects.count() == MANY
    assert Membership.objects.across_tenants().count() == MANY * MEMBERS + FEW


ASKED = {
    # who asks, what, the answer, and the large tables that it reads
    "permissions in one tenant": (
        DEVELOPER,
        lambda user: _ask_for_permissions(user, tenant().pk).in_tenant == ROLE_PERMISSIONS[Role.DEVELOPER],
        {"tenants_membership"},
    ),
    "tenants_where": (
        consultant,
        lambda user: len(tenants_where(user, "tenants.claim_key")) == FEW,
        {"tenants_membership", "tenants_tenant"},
    ),
}


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("scope", ["platform", "person"])
def test_what_roles_permit_is_found_by_indexes_alone(counts, name, scope):
    who, ask, crowded = ASKED[name]
    user = who()
    tenant_ids = list(user.memberships.values_list("tenant", flat=True))
    within = tenant_scope(*tenant_ids, person=user.pk) if scope == "person" else platform_scope("a test")
    with within:
        with CaptureQueriesContext(connection) as asked:
            assert ask(user)
        query = asked.captured_queries[-1]
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query['sql']}")
            ((explained,),) = cursor.fetchall()
    scans = list(_scans(explained[0]["Plan"]))
    assert {scan["Relation Name"] for scan in scans} >= crowded
    for scan in scans:
        if scan["Relation Name"] in crowded:
            assert "Index" in scan["Node Type"] or scan["Node Type"] == "Bitmap Heap Scan", scan
    assert sum(scan["Actual Rows"] * scan["Actual Loops"] for scan in scans) < 100


def _scans(node):
    if "Relation Name" in node:
        yield node
    for child in node.get("Plans", []):
        yield from _scans(child)


def test_a_role_given_or_taken_acts_on_the_very_next_request(counts, client):
    owner, where = OWNER(), tenant()
    viewer = person(50)
    client.force_login(viewer)
    exports = reverse("export-list", args=["many-7"])
    assert client.get(exports).status_code == 403
    actions.add_member(where, viewer, "finance", by=owner)
    assert client.get(exports).status_code == 200
    actions.add_member(where, viewer, "viewer", by=owner)
    assert client.get(exports).status_code == 403
    elsewhere = reverse("tenant-home", args=["many-8"])
    assert client.get(elsewhere).status_code == 404
    actions.add_member(Tenant.objects.get(slug="many-8"), viewer, "viewer", by=None)
    assert client.get(elsewhere).status_code == 200


def test_a_remembered_answer_belongs_to_one_loading_of_the_person(counts):
    owner, where, viewer = OWNER(), tenant(), person(50)
    earlier = User.objects.get(pk=viewer.pk)
    assert not earlier.has_perm("tenants.export_cost", where)
    actions.add_member(where, viewer, "finance", by=owner)
    # The action's own instance forgets.
    assert viewer.has_perm("tenants.export_cost", where)
    # A request under way keeps what it read.
    assert not earlier.has_perm("tenants.export_cost", where)
    assert User.objects.get(pk=viewer.pk).has_perm("tenants.export_cost", where)

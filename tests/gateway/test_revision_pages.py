"""A revision of many actions is shown page by page, and who acted only to those who may read the audit log."""

from contextlib import suppress

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

import audit
from accounts.models import User
from core.errors import Conflict
from gateway.actions import set_media_hosts, set_region_order
from gateway.list_settings import MEDIA_HOSTS, REGION_ORDER
from gateway.revisions_admin import SHOWN
from gateway.undo import MOST_ACTIONS, entries_of, undo_revision
from tenants.actions import set_limits
from tenants.models import ConfigChange, Limit, RevisionEntry
from tenants.revision import current_revision, raise_revision
from tests.factories import ProjectFactory, TenantFactory, staff

# What links a revision with its entries happens at the commit.
pytestmark = pytest.mark.django_db(transaction=True)
MANY = 2 * SHOWN + 7


@pytest.fixture
def operator():
    return staff("operator")


def many(operator, count=MANY):
    """A revision of a transaction with that many actions; each sets `number` to its own."""
    with transaction.atomic():
        project = ProjectFactory()
        for number in range(count):
            audit.record(
                "project.changed", actor=operator, subject=project, changes={"number": (0, number + 1)}
            )
        raise_revision(routing=True)
    change = ConfigChange.objects.get(revision=current_revision())
    assert RevisionEntry.objects.filter(revision=change.revision).count() == count
    return change


def one_who_sees_no_tenant():
    person = staff("cost-reviewer")
    for name in ("manage_gateway", "view_configchange"):
        person.user_permissions.add(Permission.objects.get(codename=name))
    return User.objects.get(pk=person.pk)


def link(answer, rel):
    for part in answer.headers.get("Link", "").split(", "):
        if part.endswith(f'rel="{rel}"'):
            return part[1 : part.index(">")]
    return None


def test_the_api_gives_a_page_at_a_time(client, operator):
    change = many(operator)
    client.force_login(operator)
    seen, path = [], f"/api/v1/revisions/{change.revision}/changes/?page_size=40"
    while path:
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(path)
        assert len(queries) < 15
        page = [step["changes"]["number"][1] for step in answer.json()]
        assert len(page) <= 40
        seen.append(page)
        path = link(answer, "next")
    assert [number for page in seen for number in page] == list(range(MANY, 0, -1)), "the last action first"
    assert [len(page) for page in seen] == [40, 40, MANY - 80]
    back = client.get(link(answer, "prev"))
    assert [step["changes"]["number"][1] for step in back.json()] == seen[1]
    client.force_login(staff("controller"))
    assert client.get(f"/api/v1/revisions/{change.revision}/changes/").status_code == 404


def test_the_page_shows_every_action_page_by_page(client, operator):
    change = many(operator)
    client.force_login(operator)
    path = f"/admin/tenants/configchange/{change.revision}/change/"
    shown = []
    query = ""
    while query is not None:
        page = client.get(path + query).content.decode()
        numbers = [number for number in range(1, MANY + 1) if f"Number: 0 → {number}<" in page]
        assert len(numbers) <= SHOWN
        shown += numbers[::-1]
        found = (
            page.partition("Earlier actions")[0].rpartition('href="')[2] if "Earlier actions" in page else ""
        )
        query = found.partition('"')[0] if found else None
    assert shown == list(range(MANY, 0, -1))
    assert "Later actions" in page


def test_what_one_transaction_changed_is_shown_once_by_the_last_of_its_revisions(client, operator):
    set_media_hosts(["before.example.com"], by=operator)
    alone = current_revision()
    with transaction.atomic():
        set_media_hosts(["a.example.com"], by=operator)
        with suppress(ValueError), transaction.atomic():
            set_media_hosts(["never.example.com"], by=operator)
            raise ValueError
        set_region_order(["eu"], by=operator)
        raise_revision(routing=True)
    first, second, last = alone + 1, alone + 2, alone + 3
    assert current_revision() == last
    kept = list(ConfigChange.objects.order_by("revision").values_list("revision", "raised_with"))
    assert kept[-4:] == [(alone, None), (first, last), (second, last), (last, None)]
    client.force_login(operator)

    def shown(revision):
        page = client.get(f"/admin/tenants/configchange/{revision}/change/").content.decode()
        steps = client.get(f"/api/v1/revisions/{revision}/changes/").json()
        return page, [step["verb"] for step in steps]

    page, verbs = shown(last)
    assert verbs == ["gateway.region_order_set", "gateway.media_hosts_set"]
    assert f"One transaction raised revisions {first} to {last}." in page
    assert "a.example.com" in page
    for revision in (first, second):
        page, verbs = shown(revision)
        assert verbs == []
        assert "a.example.com" not in page
        assert f"/admin/tenants/configchange/{last}/change/" in page
        assert f"/admin/tenants/configchange/{revision}/undo/" not in page
        with pytest.raises(Conflict, match=f"Revision {last} was raised with this one"):
            undo_revision(revision, reason="r", by=operator)
    page, verbs = shown(alone)
    assert verbs == ["gateway.media_hosts_set"]
    assert "One transaction raised" not in page
    rows = client.get("/admin/tenants/configchange/").content.decode()
    assert rows.count(f"part of revision {last}") == 2
    assert rows.count(str(operator.email)) >= 4
    undo_revision(last, reason="r", by=operator)
    assert MEDIA_HOSTS.current() == ["before.example.com"]
    assert REGION_ORDER.current() == []


def test_a_place_that_nobody_gave_is_the_first_page(client, operator):
    change = many(operator, 3)
    client.force_login(operator)
    path = f"/admin/tenants/configchange/{change.revision}/change/"
    for query in ("?after=nonsense", "?before=nonsense", "?before=x&after=y"):
        assert "Number: 0 → 3<" in client.get(path + query).content.decode()


@pytest.mark.as_owner
def test_who_acted_is_shown_to_those_who_may_read_the_audit_log(client, operator, monkeypatch):
    change = many(operator, 2)
    paths = ["/admin/tenants/configchange/", f"/admin/tenants/configchange/{change.revision}/change/"]
    api = f"/api/v1/revisions/{change.revision}/changes/"
    label = entries_of(change, None).first().subject_label
    client.force_login(operator)
    assert label in client.get(paths[0]).content.decode()
    assert all(operator.email in client.get(path).content.decode() for path in paths)
    assert [step["actor"] for step in client.get(api).json()] == [operator.email] * 2
    asked = User.has_perm
    client.force_login(other := staff("operator"))
    monkeypatch.setattr(
        User,
        "has_perm",
        lambda user, name, *on: name != "audit.view_auditentry" and asked(user, name, *on),
    )
    assert not other.has_perm("audit.view_auditentry")
    pages = [client.get(path).content.decode() for path in paths]
    assert not any(operator.email in page for page in pages)
    assert "Project changed" in pages[0]
    assert "Number: 0 → 2<" in pages[1]
    assert "/admin/audit/auditentry/" not in pages[1].partition("Project changed")[2]
    assert "does not allow you to read in the audit log who did it" in pages[1]
    steps = client.get(api).json()
    assert [(step["actor"], step["changes"]["number"][1]) for step in steps] == [(None, 2), (None, 1)]
    # Somebody who sees no tenant's rows at all.
    client.force_login(one_who_sees_no_tenant())
    pages = [client.get(path).content.decode() for path in paths]
    assert "does not allow you to see the actions behind it" in pages[1]
    assert not any(operator.email in page for page in pages)
    assert not any(label in page for page in pages), "nor on the list"
    assert client.get(api).json() == []


def test_more_actions_than_can_be_undone_together_are_refused_before_anything_is_looked_at(client, operator):
    change = many(operator, MOST_ACTIONS + 1)
    client.force_login(operator)
    with CaptureQueriesContext(connection) as queries, pytest.raises(Conflict) as refused:
        undo_revision(change.revision, reason="x", by=operator)
    assert len(queries) < 15
    assert refused.value.code == "too_many_actions"
    words = "This revision has 201 actions, and at most 200 can be undone together"
    assert words in refused.value.message
    answer = client.post(f"/api/v1/revisions/{change.revision}/undo/", {"reason": "x"}, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_actions")
    path = f"/admin/tenants/configchange/{change.revision}"
    page = client.get(f"{path}/change/").content.decode()
    assert words in page
    assert f"{path}/undo/" not in page


def test_as_many_actions_as_allowed_are_undone_together(operator, monkeypatch):
    """Each costs about as many queries, however many there are."""
    monkeypatch.setattr("gateway.undo.MOST_ACTIONS", 12)
    tenant = TenantFactory()
    counts = []
    for number in (6, 12):
        projects = [ProjectFactory(tenant=tenant) for _ in range(number)]
        with transaction.atomic():
            for project in projects:
                set_limits(tenant, {Limit.Kind.TOKENS_PER_DAY: 5}, by=operator, project=project)
        revision = current_revision()
        with CaptureQueriesContext(connection) as queries:
            undo_revision(revision, reason="x", by=operator)
        counts.append(len(queries))
        assert not Limit.objects.across_tenants().filter(project__in=projects).exists()
    assert counts[1] < 2 * counts[0]

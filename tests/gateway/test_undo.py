"""What a revision changed, and by whom; and undoing it with new actions, never by writing something old back."""

from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from audit.models import AuditEntry
from core.errors import Conflict
from core.ids import uuid7
from deployments.models import Deployment, Provider
from deployments.provider_actions import disable_provider, enable_provider
from deployments.routes import EntryPlan, change_route, plan_of
from gateway.actions import set_media_hosts
from gateway.models import GatewayPolicy
from gateway.undo import entries_of, steps_of, undo_revision
from tenants.actions import revoke_api_key, set_limits
from tenants.models import ConfigChange, RevisionEntry
from tenants.revision import KEPT_CHANGES, current_revision, forget_changes, raise_revision
from tests.factories import CatalogModelFactory, ProjectFactory, ProviderFactory, staff
from tests.gateway.granted import RouteEntryFactory, key_for

# What links a revision with its entries happens at the commit.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator():
    return staff("operator")


def newest():
    return ConfigChange.objects.get(revision=current_revision())


def hosts():
    return GatewayPolicy.objects.get().media_hosts


def verbs_of(change):
    return [entry.verb for entry in reversed(entries_of(change, None))]


def steps(change, viewer=None):
    return steps_of(entries_of(change, viewer))


def test_a_revision_knows_the_actions_of_its_transaction_and_no_others(operator):
    set_media_hosts(["a.example.com"], by=operator)
    first = newest()
    set_media_hosts(["b.example.com"], by=operator)
    raise_revision(routing=True)
    assert verbs_of(first) == ["gateway.media_hosts_set"]
    assert entries_of(first, None)[0].changes == {"hosts": ["", "a.example.com"]}
    assert entries_of(first, operator)[0].actor == operator
    assert list(entries_of(newest(), None)) == [], "nobody did anything"


def test_undoing_does_new_actions_in_the_name_of_whoever_undoes(operator):
    set_media_hosts(["a.example.com"], by=operator)
    set_media_hosts(["a.example.com", "b.example.com"], by=operator)
    change, other = newest(), staff("operator")
    assert [step.words for step in steps(change, other)] == ["Set hosts to: a.example.com"]
    undo_revision(change.revision, reason="Not a host of ours.", by=other)
    assert hosts() == ["a.example.com"]
    undone = newest()
    assert undone.revision == change.revision + 1
    assert verbs_of(undone) == ["gateway.media_hosts_set", "revision.undone"]
    last = entries_of(undone, None)[0]
    assert (last.actor, last.reason, last.subject_id) == (other, "Not a host of ours.", str(change.revision))
    undo_revision(undone.revision, reason="It was.", by=operator)
    assert hosts() == ["a.example.com", "b.example.com"], "an undo can be undone"


def test_what_somebody_changed_since_is_not_undone(operator):
    set_media_hosts(["a.example.com"], by=operator)
    change = newest()
    set_media_hosts(["b.example.com"], by=operator)
    with pytest.raises(Conflict, match=r"^hosts: changed again since"):
        undo_revision(change.revision, reason="r", by=operator)
    assert hosts() == ["b.example.com"]


def test_limits_and_routes_and_providers_are_undone(operator):
    project = ProjectFactory()
    set_limits(project.tenant, {"requests_per_minute": Decimal(5)}, by=operator, project=project)
    set_limits(
        project.tenant,
        {"requests_per_minute": Decimal(9), "tokens_per_day": Decimal(7)},
        by=operator,
        project=project,
    )
    undo_revision(newest().revision, reason="r", by=operator)
    assert {limit.kind: limit.value for limit in project.limits.all()} == {"requests_per_minute": 5}

    entry = RouteEntryFactory()
    route = entry.route
    before = plan_of(route)
    change_route(route.pk, [EntryPlan(entry.target_id, 7, 2)], based_on=route.generation, by=operator)
    undo_revision(newest().revision, reason="r", by=operator)
    assert plan_of(route) == before

    provider = ProviderFactory()
    disable_provider(provider.pk, by=operator)
    change = newest()
    undo_revision(change.revision, reason="r", by=operator)
    provider.refresh_from_db()
    assert provider.is_enabled
    with pytest.raises(Conflict):
        undo_revision(change.revision, reason="again", by=operator)


def test_a_route_or_limit_that_was_changed_since_is_not_undone(operator):
    entry = RouteEntryFactory()
    route = entry.route
    change_route(route.pk, [EntryPlan(entry.target_id, 7)], based_on=route.generation, by=operator)
    change = newest()
    route.refresh_from_db()
    change_route(route.pk, [EntryPlan(entry.target_id, 8)], based_on=route.generation, by=operator)
    with pytest.raises(Conflict, match="changed again since"):
        undo_revision(change.revision, reason="r", by=operator)
    project = ProjectFactory()
    for value in (5, 6):
        set_limits(project.tenant, {"requests_per_minute": Decimal(value)}, by=operator, project=project)
    with pytest.raises(Conflict, match="changed again since"):
        undo_revision(newest().revision - 1, reason="r", by=operator)


def test_an_undone_target_gets_its_variant_back(operator):
    entry = RouteEntryFactory(variant="canary")
    route = entry.route
    before = plan_of(route)
    change_route(route.pk, [EntryPlan(entry.target_id, 7)], based_on=route.generation, by=operator)
    undo_revision(newest().revision, reason="r", by=operator)
    assert plan_of(route) == before


def test_what_is_no_longer_possible_is_a_conflict(operator):
    entry = RouteEntryFactory()
    route, target = entry.route, entry.target
    change_route(route.pk, [], based_on=route.generation, may_end_service=True, by=operator)
    Deployment.objects.filter(target=target).update(state="deleted", is_deleted=True)
    with pytest.raises(Conflict, match="There is no target"):
        undo_revision(newest().revision, reason="r", by=operator)


def test_a_newer_change_to_the_same_value_is_not_undone(operator):
    """Somebody disabled the provider again, for a reason of their own."""
    provider = ProviderFactory()
    disable_provider(provider.pk, by=operator)
    change = newest()
    enable_provider(provider.pk, by=operator)
    disable_provider(provider.pk, by=staff("operator"))
    with pytest.raises(Conflict, match="changed again since"):
        undo_revision(change.revision, reason="r", by=operator)
    provider.refresh_from_db()
    assert not provider.is_enabled
    undo_revision(newest().revision, reason="The newest can be.", by=operator)
    provider.refresh_from_db()
    assert provider.is_enabled


def test_what_else_of_the_same_thing_was_changed_since_stays(operator):
    project = ProjectFactory()
    kinds = ("requests_per_minute", "tokens_per_day")
    for kind in kinds:
        set_limits(project.tenant, {kind: Decimal(5)}, by=operator, project=project)
    set_limits(project.tenant, {kinds[0]: Decimal(6)}, by=operator, project=project, model="other")
    undo_revision(newest().revision - 2, reason="r", by=operator)
    assert {(limit.kind, limit.model) for limit in project.limits.all()} == {
        (kinds[1], ""),
        (kinds[0], "other"),
    }


def test_what_has_no_inverse_is_named(operator):
    key = key_for(ProjectFactory(), CatalogModelFactory())
    revoke_api_key(key.pk, by=operator, reason="leaked")
    change = newest()
    [step] = steps(change, operator)
    assert step.undo is None
    assert "A revoked key never works again" in step.words
    with pytest.raises(Conflict, match="No action behind this revision"):
        undo_revision(change.revision, reason="r", by=operator)


@pytest.mark.as_owner
def test_each_inverse_asks_for_its_own_permission(operator):
    """Whoever may manage gateways may not therefore do everything."""
    provider = ProviderFactory()
    disable_provider(provider.pk, by=operator)
    change = newest()
    person = staff("auditor")
    for name in ("manage_gateway", "view_configchange"):
        person.user_permissions.add(Permission.objects.get(codename=name))
    person = User.objects.get(pk=person.pk)
    assert [step.undo is not None for step in steps(change, person)] == [True]
    with pytest.raises((PermissionDenied, Provider.DoesNotExist, Conflict)) as refusal:
        undo_revision(change.revision, reason="r", by=person)
    assert not isinstance(refusal.value, Conflict) or "changed again" in str(refusal.value)
    provider.refresh_from_db()
    assert not provider.is_enabled
    with pytest.raises(ConfigChange.DoesNotExist):
        undo_revision(change.revision, reason="r", by=staff("controller"))


def test_lists_count_what_a_revision_names_without_reading_it(client, operator):
    """The end of a year may end the grants of 400,000 keys at once."""
    raise_revision(keys=[uuid7() for _ in range(3)], projects=[uuid7()])
    client.force_login(operator)
    for path in ("/admin/tenants/configchange/", "/api/v1/revisions/"):
        with CaptureQueriesContext(connection) as queries:
            page = client.get(path).content.decode()
        assert "projects: 1, keys: 3" in page or '"projects":1,"keys":3,' in page
        [asked] = [one["sql"] for one in queries if "ORDER BY" in one["sql"] and "raised_at" in one["sql"]]
        assert 'cardinality("tenants_configchange"."keys")' in asked
        assert '"tenants_configchange"."keys",' not in asked


def test_pages_and_api_show_a_revision_and_undo_it(client, operator):
    set_media_hosts(["a.example.com"], by=operator)
    change = newest()
    client.force_login(operator)
    assert operator.email in client.get("/admin/tenants/configchange/").content.decode()
    page = client.get(f"/admin/tenants/configchange/{change.revision}/change/").content.decode()
    assert "a.example.com" in page
    assert "Set hosts to: nothing" in page
    [step] = client.get(f"/api/v1/revisions/{change.revision}/changes/").json()
    assert (step["verb"], step["actor"], step["can_be_undone"]) == (
        "gateway.media_hosts_set",
        operator.email,
        True,
    )
    assert client.get("/api/v1/revisions/").json()["results"][0]["revision"] == change.revision
    path = f"/api/v1/revisions/{change.revision}/undo/"
    assert client.post(path, {}, content_type="application/json").status_code == 400
    assert client.post(path, {"reason": "r"}, content_type="application/json").status_code == 200
    assert client.post(path, {"reason": "r"}, content_type="application/json").status_code == 409
    client.force_login(staff("controller"))
    assert client.get("/api/v1/revisions/").status_code == 403
    assert client.post(path, {"reason": "r"}, content_type="application/json").status_code == 404


def test_links_are_forgotten_with_their_revision(operator):
    set_media_hosts(["a.example.com"], by=operator)
    assert RevisionEntry.objects.exists()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_configrevision SET number = number + %s", [KEPT_CHANGES])
    forget_changes()
    assert not RevisionEntry.objects.exists()
    assert AuditEntry.objects.across_tenants().filter(verb="gateway.media_hosts_set").exists()

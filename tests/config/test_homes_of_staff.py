"""The home of staff: each role reads its own numbers exactly, and nothing of other roles."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

import audit
from accounts.roles import StaffRole
from audit.checkpoints import checkpoint_pending_entries
from audit.models import AuditAnchor, AuditCheckpoint, AuditPending
from core.home import Need, Reader, Site, home_block, shown_to
from core.ids import uuid7
from deployments.models import Deployment
from exports.models import Export
from gateway.models import Gateway, RefusedCalls
from tenants.models import EmergencyAccess
from tests.factories import (
    AccessRequestFactory,
    ApiKeyFactory,
    ClusterFactory,
    DeploymentFactory,
    ModelVersionFactory,
    ReviewFactory,
    TenantFactory,
    staff,
)

pytestmark = pytest.mark.django_db

# The headings that each role reads, in any order.
HEADINGS = {
    "operator": {"h-deployments", "h-gateways", "h-refused", "h-emergency", "h-privileged", "h-chain"},
    "security-reviewer": {"h-reviews"},
    "compliance-reviewer": {"h-reviews"},
    "cost-reviewer": {"h-reviews"},
    "controller": set(),
    "auditor": {"h-emergency", "h-privileged", "h-chain"},
}
ALL = set().union(*HEADINGS.values()) | {"h-exports"}


@pytest.fixture
def home(client):
    """The home of a person: its text, and its content by name of template."""

    def open_home(person):
        client.force_login(person)
        response = client.get(reverse("admin:index"))
        assert response.status_code == 200
        return response

    return open_home


def block(response, template):
    """The facts of a block of a home page."""
    home = response.context["home"]
    (facts,) = [shown.facts for shown in home.blocks + home.aside if shown.template.endswith(template)]
    return facts


def needs(response):
    return [str(need.text) for need in response.context["home"].needs]


def review(lab, due_in, **fields):
    return ReviewFactory(
        tenant=lab, access_request=AccessRequestFactory(tenant=lab), due_at=now() + due_in, **fields
    )


@pytest.mark.parametrize("role", StaffRole.values)
def test_each_role_sees_its_blocks_and_none_of_others(home, role):
    text = home(staff(role)).content.decode()
    assert {name for name in ALL if f'id="{name}"' in text} == HEADINGS[role]
    assert "Nothing needs you." in text


def test_a_reviewer_reads_the_numbers_of_their_own_tracks(home, lab, security_reviewer):
    oldest = review(lab, timedelta(hours=-30))
    review(lab, timedelta(hours=3))
    review(lab, timedelta(days=3))
    review(lab, timedelta(days=-3), track_id="compliance")
    # Of four eyes.
    own = AccessRequestFactory(tenant=lab, requested_by=security_reviewer)
    ReviewFactory(tenant=lab, access_request=own)
    response = home(security_reviewer)
    facts = block(response, "_reviews.html")
    assert (facts.waiting, facts.overdue, facts.soon, len(facts.rows)) == (3, 1, 1, 3)
    assert facts.rows[0].url == reverse("admin:catalog_review_change", args=[oldest.pk])
    assert needs(response) == ["3 reviews wait for you"]
    assert response.context["home"].needs[0].url == facts.rows[0].url
    assert response.context["home"].needs[0].note == "1 is overdue"


def test_a_reviewer_reads_what_they_decided_in_seven_days(home, client, lab, security_reviewer, monkeypatch):
    for verdict, reviewer in [
        ("approve", security_reviewer),
        ("approve", security_reviewer),
        ("reject", security_reviewer),
        ("approve", staff("security-reviewer")),
    ]:
        decided = review(lab, timedelta(days=1))
        decided.decisions.create(tenant=lab, reviewer=reviewer, verdict=verdict, comment="As said.")
    response = home(security_reviewer)
    facts = block(response, "_reviews.html")
    assert (facts.approved, facts.rejected, facts.decided) == (2, 1, 3)
    lines = block(response, "_decisions.html")
    # The newest first, and not those of a colleague.
    assert [line.badge.kind for line in lines] == ["bad", "ok", "ok"]
    assert [line.tenant for line in lines] == ["Lab"] * 3
    assert client.get(lines[0].url).status_code == 200
    monkeypatch.setattr("catalog.home.staff.now", lambda: now() + timedelta(days=8))
    response = home(security_reviewer)
    assert block(response, "_reviews.html").decided == 0
    assert "h-decisions" not in response.content.decode()


def test_a_long_queue_is_counted_to_99_only(home, lab, security_reviewer):
    asked = [AccessRequestFactory(tenant=lab) for _ in range(101)]
    for one in asked:
        ReviewFactory(tenant=lab, access_request=one, due_at=now() - timedelta(days=1))
    response = home(security_reviewer)
    assert block(response, "_reviews.html").waiting == "99+"
    assert needs(response) == ["99+ reviews wait for you"]


def test_an_operator_reads_what_is_down_and_on_its_way(home, operator):
    sick = DeploymentFactory(name="sick", replicas=3, ready_replicas=0, state="down", observed_generation=1)
    DeploymentFactory(name="weak", replicas=2, ready_replicas=1, state="degraded", observed_generation=1)
    DeploymentFactory(name="new", state="starting")
    DeploymentFactory(name="changed", state="healthy", generation=4, observed_generation=3, ready_replicas=1)
    DeploymentFactory(name="well", state="healthy", observed_generation=1, ready_replicas=1)
    DeploymentFactory(name="gone", state="down", is_deleted=True)
    response = home(operator)
    facts = block(response, "_deployments.html")
    assert (facts.failing, facts.rolling_out, facts.running) == (2, 2, 5)
    assert [row.name for row in facts.rows] == ["sick", "weak", "changed", "new"]
    assert [row.is_rolling_out for row in facts.rows] == [False, False, True, True]
    assert needs(response) == ["sick is down", "weak is degraded"]
    assert response.context["home"].needs[0].note == "0 of 3 replicas are ready"
    assert reverse("admin:deployments_deployment_change", args=[sick.pk]) in response.content.decode()


def test_an_operator_reads_how_many_gpus_are_free(home, operator):
    full = ClusterFactory(name="full", resources={"nvidia.com/gpu": "8", "cpu": "64"})
    ClusterFactory(name="empty", resources={"amd.com/gpu": "4"})
    ClusterFactory(name="laptop")
    version = ModelVersionFactory(gpus_per_replica=2)
    DeploymentFactory(name="big", cluster=full, version=version, replicas=3, state="healthy")
    DeploymentFactory(name="gone", cluster=full, version=version, replicas=9, is_deleted=True)
    facts = block(home(operator), "_deployments.html")
    assert [(row.name, row.used, row.total, row.free) for row in facts.clusters] == [
        ("full", 6, 8, 2),
        ("empty", 0, 4, 4),
    ]
    assert facts.free_gpus == 6


def test_no_cluster_that_names_gpus_is_no_zero(home, operator):
    ClusterFactory(name="laptop")
    response = home(operator)
    assert block(response, "_deployments.html").free_gpus is None
    assert "no cluster names any" in response.content.decode()


def gateway(name, **fields):
    return Gateway.objects.create(name=name, prefix=name[:12], digest=name, last_seen_at=now(), **fields)


def test_an_operator_reads_which_gateways_lag_refuse_or_are_silent(home, operator, lab):
    from tenants.models import ConfigChange
    from tenants.revision import current_revision, raise_revision

    raise_revision()
    newest = current_revision()
    ConfigChange.objects.update(raised_at=now() - timedelta(hours=1))
    gateway("well", acknowledged_revision=newest, spool_pending=3)
    gateway("late", acknowledged_revision=newest - 1, spool_pending=40)
    gateway("stubborn", acknowledged_revision=newest, report={"refused": {"revision": newest, "reason": "x"}})
    lost = gateway("lost", acknowledged_revision=newest)
    Gateway.objects.filter(pk=lost.pk).update(last_seen_at=now() - timedelta(hours=2))
    gateway("old", acknowledged_revision=0, revoked_at=now(), spool_pending=1000)
    response = home(operator)
    facts = block(response, "_gateways.html")
    assert (facts.in_service, facts.behind, facts.refusing, facts.silent) == (4, 1, 1, 1)
    assert facts.pending == 43
    assert [row.name for row in facts.rows] == ["stubborn", "late", "lost"]
    assert [text for text in needs(response) if text.startswith("Gateway")] == [
        "Gateway stubborn does not serve the newest configuration",
        "Gateway late does not serve the newest configuration",
    ]
    notes = [need.note for need in response.context["home"].needs if str(need.text).startswith("Gateway")]
    assert notes[0] == "x"
    assert notes[1].startswith("behind by: 1 revision")


def refused(tenant, count, minutes_ago):
    key = ApiKeyFactory(tenant=tenant)
    return RefusedCalls.objects.create(
        tenant=tenant,
        project_id=key.project_id,
        key_id=key.pk,
        gateway_name="gate",
        minute=now() - timedelta(minutes=minutes_ago),
        status=429,
        code="rate_limit_exceeded",
        count=count,
    )


def test_an_operator_reads_the_refused_calls_of_the_hour_by_tenant(home, operator, lab, monkeypatch):
    other = TenantFactory(name="Other")
    refused(lab, 5, 3)
    refused(lab, 7, 50)
    refused(other, 30, 10)
    refused(lab, 11, 70)
    refused(lab, 100, 130)
    facts = block(home(operator), "home/_refused.html")
    assert (facts.calls, facts.before, facts.is_more) == (42, 11, False)
    assert facts.by_tenant == [("Other", 30), ("Lab", 12)]
    assert not facts.is_more_before
    monkeypatch.setattr("gateway.home.MOST_REPORTS", 2)
    for _ in range(3):
        refused(lab, 2, 65)
    response = home(operator)
    facts = block(response, "home/_refused.html")
    assert (facts.calls, facts.is_more, facts.before, facts.is_more_before) == (35, True, 4, True)
    assert "over 35" in response.content.decode()
    assert "over 4 calls in the hour before" in response.content.decode()


def emergency(tenant, opener, **fields):
    opened = now() - timedelta(hours=3)
    return EmergencyAccess.objects.create(
        tenant=tenant,
        opened_by=opener,
        reason="Their keys answer nothing.",
        opened_at=opened,
        expires_at=opened + timedelta(hours=1),
        session_digest="x",
        **fields,
    )


def test_an_auditor_reads_what_staff_did_and_what_to_review(home, lab, operator):
    auditor = staff("auditor")
    audit.record("tenant.changed", actor=operator, subject=lab)
    audit.record("tenant.read_by_staff", actor=operator, subject=lab)
    audit.record("person.signed_out", actor=operator, subject=operator)
    audit.record("gateway.revoked", actor=operator, subject=gateway("gate"))
    first = emergency(lab, operator)
    emergency(lab, auditor)
    emergency(lab, operator, reviewed_by=auditor, reviewed_at=now(), remark="Fine.")
    response = home(auditor)
    # The role of the auditor, too, was given by nobody in particular.
    assert [row.verb for row in block(response, "_privileged.html").rows] == [
        "gateway.revoked",
        "tenant.changed",
    ]
    assert len(block(response, "_emergency.html")) == 3
    assert needs(response) == ["1 emergency access needs a review"]
    page = reverse("admin:tenants_emergencyaccess_change", args=[first.pk])
    assert response.context["home"].needs[0].url == page


@pytest.mark.as_owner
def test_an_auditor_reads_how_far_the_log_is_sealed(home, lab):
    auditor = staff("auditor")
    home(auditor)
    checkpoint_pending_entries()
    facts = block(home(auditor), "_chain.html")
    last = AuditCheckpoint.objects.latest("number")
    assert (facts.number, facts.at, facts.held_outside) == (last.number, last.created_at, None)
    before = facts.unsealed
    audit.record("tenant.changed", actor=auditor, subject=lab)
    AuditAnchor.objects.create(destination="far", up_to_checkpoint=last.number, exported_at=now())
    AuditAnchor.objects.create(destination="new")
    waiting = AuditPending.objects.count()
    facts = block(home(auditor), "_chain.html")
    assert facts.held_outside == last.number
    # And the sign-in.
    assert facts.unsealed == waiting + 1 > before


def test_acts_of_staff_are_searched_among_the_newest_entries_only(home, lab, operator, monkeypatch):
    monkeypatch.setattr("audit.home.LOOKED_AT", 3)
    audit.record("tenant.changed", actor=operator, subject=lab)
    for _ in range(3):
        audit.record("tenant.read_by_staff", actor=operator, subject=lab)
    response = home(staff("auditor"))
    # The auditor's own appointment is among the newest, too.
    assert "tenant.changed" not in [row.verb for row in block(response, "_privileged.html").rows]


def test_exports_are_the_readers_own(home, lab, controller):
    for person in (controller, staff("controller")):
        Export.objects.create(
            tenant=lab, kind="costs", requested_by=person, start_day="2026-10-01", end_day="2026-10-31"
        )
    (line,) = block(home(controller), "_exports.html")
    assert (line.tenant, line.badge.kind) == ("Lab", "info")


def test_several_roles_see_the_blocks_of_all_the_most_urgent_first(home, lab, operator):
    from accounts.actions import make_staff

    make_staff(operator, "security-reviewer", by=None)
    DeploymentFactory(name="weak", state="degraded", observed_generation=1)

    def order():
        shown = home(operator).context["home"].blocks
        return [one.template.split("/")[-1] for one in shown]

    quiet = ["_reviews.html", "_gateways.html", "_privileged.html"]
    assert order() == ["_deployments.html", *quiet]
    review(lab, timedelta(days=-1))
    assert order() == ["_reviews.html", "_deployments.html", *quiet[1:]]


def test_a_block_that_is_not_for_the_reader_reads_nothing(monkeypatch, rf, lab, controller):
    monkeypatch.setattr("core.home._blocks", [])

    @home_block(Site.STAFF, order=1, permissions=["deployments.view_deployment"], template="x.html")
    def never(reader):
        raise AssertionError("read for somebody who may not see it")

    @home_block(Site.STAFF, order=2)
    def always(reader):
        from core.home import Content

        return Content(needs=[Need("later", "/", "Look"), Need("late", "/", "Look", is_late=True)])

    home = shown_to(Reader(rf.get("/"), controller), Site.STAFF)
    assert [need.text for need in home.needs] == ["late", "later"]
    assert home.blocks == []


def test_the_number_of_queries_does_not_grow_with_what_there_is(home, lab):
    operator = staff("operator")

    def asked():
        with CaptureQueriesContext(connection) as questions:
            home(operator)
        return len(questions)

    def add(count):
        for number in range(count):
            review(lab, timedelta(days=-1))
            DeploymentFactory(state="down", observed_generation=1)
            refused(TenantFactory(), 5, 3)
            gateway(f"g-{uuid7()}", acknowledged_revision=0)
            emergency(lab, staff("operator"))
            audit.record("tenant.changed", actor=operator, subject=lab, number=number)

    add(2)
    asked()
    few = asked()
    add(8)
    asked()  # The audit log is told once an hour which tenants were read.
    assert asked() == few
    assert Deployment.objects.count() == 10

"""Emergency access: an owner's rights in one tenant, for a while, in one browser, with everything written down."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

import audit
from accounts.actions import end_staff_role, make_staff
from accounts.models import User
from accounts.sessions import end_sessions
from audit.models import AuditEntry
from core.secrets import new_key_secret
from exports.models import Export
from tenants.actions import (
    create_service_account,
    end_emergency_access,
    issue_personal_access_token,
    open_emergency_access,
    suspend_tenant,
)
from tenants.emergency import current_emergency
from tenants.models import EmergencyAccess
from tenants.permissions import projects_where, tenants_where
from tests.emergency import REASON, browser_of, close, make_older, may_claim, open_in, the_access
from tests.factories import ApiKeyFactory, ProjectFactory, TenantFactory, staff


@pytest.fixture
def key(lab, project):
    return ApiKeyFactory.claimable(tenant=lab, project=project)


@pytest.fixture
def program(lab, owner):
    return create_service_account(lab, name="Nightly Report", role="developer", by=owner)


@pytest.fixture
def browser(operator):
    return browser_of(operator)


@pytest.fixture
def access(browser, lab):
    assert open_in(browser, lab).status_code == 302
    return the_access(lab)


class TestWhileItIsOpen:
    def test_its_opener_may_do_what_only_owners_may(self, browser, lab, key, program):
        assert not may_claim(browser, key)
        assert open_in(browser, lab).status_code == 302
        claimed = browser.post(reverse("key-claim", args=["lab", key.pk]), {"owner": str(program.pk)})
        assert claimed.status_code == 200
        key.refresh_from_db()
        assert (key.state, key.owner) == ("active", program)

    def test_each_action_says_so_with_the_reason(self, browser, access, lab, key, program, operator):
        browser.post(reverse("key-claim", args=["lab", key.pk]), {"owner": str(program.pk)})
        browser.post(reverse("project-new", args=["lab"]), {"name": "Fresh", "slug": "fresh"})
        lines = AuditEntry.objects.in_tenant(lab).filter(actor=operator)
        assert set(lines.values_list("verb", flat=True)) == {
            "emergency_access.opened",
            "api_key.claimed",
            "project.created",
            # Claiming answers with the row of the key.
            "tenant.read_by_staff",
        }
        for line in lines:
            assert (line.acting_as, line.reason) == ("emergency_access", REASON)
            assert line.details["emergency_access"] == str(access.pk)

    def test_a_key_is_not_claimed_for_oneself(self, browser, access, key):
        answer = browser.post(reverse("key-claim", args=["lab", key.pk]))
        assert answer.status_code == 400
        assert "Choose a service account" in answer.content.decode()
        key.refresh_from_db()
        assert key.state == "claimable"

    def test_a_cost_report_is_ordered(self, browser, access, lab, operator):
        month = {"month": f"{now():%Y-%m}"}
        assert browser.post(reverse("export-new", args=["lab"]), month).status_code == 302
        assert Export.objects.in_tenant(lab).get().requested_by == operator

    def test_every_page_shows_it_and_how_to_end_it(self, browser, access, owner):
        for name in ("tenant-home", "member-list", "tenant-settings", "audit-list", "key-list", "cost"):
            page = browser.get(reverse(name, args=["lab"])).content.decode()
            assert REASON in page, name
            assert "60 minutes left" in page
            assert reverse("emergency-access-end", args=["lab", access.pk]) in page
        assert "End now" not in browser_of(owner).get("/t/lab/").content.decode()

    def test_every_question_about_permissions_answers_alike(self, access, lab, project, operator):
        elsewhere = TenantFactory()
        token = current_emergency.set(access)
        try:
            assert operator.has_perm("tenants.claim_key", project)
            assert list(tenants_where(operator, "tenants.claim_key")) == [lab]
            assert list(projects_where(operator, "tenants.claim_key", lab)) == [project]
            assert not operator.has_perm("tenants.claim_key", elsewhere)
            assert not staff("operator").has_perm("tenants.claim_key", lab)
        finally:
            current_emergency.reset(token)

    def test_what_it_says_of_other_tenants_actions_is_nothing(self, lab, operator):
        elsewhere = TenantFactory()
        with audit.acting("emergency_access", reason=REASON, only_in=lab.pk, emergency_access="7"):
            here = audit.record("lab.marked", actor=operator, subject=lab)
            there = audit.record("lab.marked", actor=operator, subject=elsewhere)
            nowhere = audit.record("lab.marked", actor=operator, subject=operator)
        assert (here.acting_as, here.reason, here.details) == (
            "emergency_access",
            REASON,
            {"emergency_access": "7"},
        )
        for line in (there, nowhere):
            assert (line.acting_as in ("staff", "self"), line.reason, line.details) == (True, "", {})

    def test_a_suspended_tenant_is_opened_and_stays_suspended(self, browser, lab, key, program):
        suspend_tenant(lab.pk, by=staff("operator"), reason="Unpaid")
        assert open_in(browser, lab).status_code == 302
        assert may_claim(browser, key)
        claimed = browser.post(reverse("key-claim", args=["lab", key.pk]), {"owner": str(program.pk)})
        assert claimed.status_code == 409


class TestItOpensNothingElse:
    def test_in_another_browser_of_the_same_person(self, browser, access, key, operator):
        assert may_claim(browser, key)
        other = browser_of(operator)
        assert not may_claim(other, key)
        assert REASON not in other.get("/t/lab/").content.decode()
        end = reverse("emergency-access-end", args=["lab", access.pk])
        assert end in other.get(reverse("emergency-access-list", args=["lab"])).content.decode()
        # A browser that was lost holds up nobody.
        other.post(end)
        assert not may_claim(browser, key)

    def test_for_another_person_in_the_same_kind_of_session(self, access, key):
        assert not may_claim(browser_of(staff("operator")), key)

    def test_in_another_tenant(self, browser, access):
        elsewhere = TenantFactory(slug="elsewhere")
        project = ProjectFactory(tenant=elsewhere)
        assert not may_claim(browser, ApiKeyFactory.claimable(tenant=elsewhere, project=project))
        assert REASON not in browser.get("/t/elsewhere/").content.decode()

    def test_by_a_token_or_in_the_api(self, browser, access, key, operator, program):
        scopes = ["read", "keys", "platform"]
        _, secret = issue_personal_access_token(operator, name="t", life=timedelta(days=1), scopes=scopes)
        bearer = {"Authorization": f"Bearer {secret}"}
        claim = f"/api/v1/keys/{key.pk}/claim/"
        said = {"service_account": str(program.pk)}
        for headers in (bearer, {}):
            answer = browser.post(claim, said, content_type="application/json", headers=headers)
            assert answer.status_code == 403
        # On a page, beside the very session.
        assert not may_claim(browser, key, headers=bearer)

    def test_without_a_second_factor(self, browser, access, key):
        session = browser.session
        session["qm_has_second_factor"] = False
        session.save()
        assert not may_claim(browser, key)


class TestTheEnd:
    def test_comes_with_the_time(self, browser, access, key):
        make_older(access, timedelta(minutes=59))
        assert may_claim(browser, key)
        make_older(access, timedelta(minutes=1))
        assert not may_claim(browser, key)
        assert the_access(access.tenant).over_at == "Ran out"
        assert REASON not in browser.get("/t/lab/").content.decode()

    def test_comes_by_hand(self, browser, access, key, lab):
        answer = browser.post(reverse("emergency-access-end", args=["lab", access.pk]))
        assert answer.status_code == 302
        assert not may_claim(browser, key)
        assert the_access(lab).over_at == "Ended"
        line = AuditEntry.objects.in_tenant(lab).get(verb="emergency_access.ended")
        assert (line.acting_as, line.reason, line.details["how"]) == (
            "emergency_access",
            REASON,
            "by hand",
        )
        browser.post(reverse("emergency-access-end", args=["lab", access.pk]))  # safe to repeat
        assert AuditEntry.objects.in_tenant(lab).filter(verb="emergency_access.ended").count() == 1

    def test_by_hand_is_its_openers_alone(self, access, owner):
        for person in (owner, staff("operator")):
            with pytest.raises(PermissionDenied, match="Only the person who opened"):
                end_emergency_access(access.pk, by=person)

    def test_comes_with_signing_out(self, browser, access, lab, key, operator):
        browser.post(reverse("logout"))
        assert the_access(lab).over_at == "Ended"
        line = AuditEntry.objects.in_tenant(lab).get(verb="emergency_access.ended")
        assert line.details["how"] == "signed out"
        assert not may_claim(browser_of(operator), key)

    def test_comes_with_the_session(self, access, lab, operator):
        end_sessions(operator)
        found = the_access(lab)
        assert (found.is_open, found.over_at) == (False, "Lost with the session or role")

    def test_comes_with_the_role_and_stays_when_the_role_comes_back(
        self, browser, access, key, operator, lab
    ):
        other = staff("operator")
        # Who still sees the tenant.
        make_staff(operator, "controller", by=other)
        end_staff_role(operator, "operator", by=other)
        assert browser.get(reverse("tenant-home", args=["lab"])).status_code == 200
        assert REASON not in browser.get("/t/lab/").content.decode()
        assert not the_access(lab).is_open
        make_staff(operator, "operator", by=other)
        assert not may_claim(browser, key)
        assert not the_access(lab).is_open

    def test_comes_with_the_account(self, access, lab, operator):
        User.objects.filter(pk=operator.pk).update(is_active=False)
        assert not the_access(lab).is_open

    @pytest.mark.as_owner
    def test_comes_with_the_closing_of_the_tenant(self, access, lab):
        close(lab)
        assert not the_access(lab).is_open


class TestOpening:
    def test_says_first_what_happens(self, browser, lab, owner):
        page = open_in(browser, lab, step="").content.decode()
        assert "Open emergency access to Lab for 1 hour?" in page
        assert owner.email in page
        assert REASON in page
        assert not EmergencyAccess.objects.in_tenant(lab).exists()

    @pytest.mark.parametrize(
        "said", [{"reason": "too short"}, {"reason": " " * 30}, {"minutes": "600"}, {"minutes": ""}]
    )
    def test_wants_a_reason_and_a_length(self, browser, lab, said):
        assert open_in(browser, lab, **said).status_code == 422
        assert not EmergencyAccess.objects.in_tenant(lab).exists()

    def test_wants_a_second_factor_and_says_how_to_get_one(self, operator, lab):
        browser = browser_of(operator, has_second_factor=False)
        address = f"/admin/tenants/tenant/{lab.pk}/emergency-access/"
        for answer in (browser.get(address), open_in(browser, lab)):
            assert answer.status_code == 403
            assert f"{reverse('second-factor-enrol')}?next={address}" in answer.content.decode()
        assert not EmergencyAccess.objects.in_tenant(lab).exists()
        with pytest.raises(PermissionDenied, match="second factor"):
            open_emergency_access(lab.pk, by=operator, reason=REASON, minutes=15)

    def test_does_not_take_a_secret_for_a_reason(self, browser, lab):
        answer = open_in(browser, lab, reason=f"It leaked: {new_key_secret()}")
        assert answer.status_code == 422
        assert not EmergencyAccess.objects.in_tenant(lab).exists()

    def test_is_done_once_at_a_time(self, browser, access, lab, operator):
        answer = open_in(browser, lab)
        assert answer.status_code == 422
        assert "End it first" in answer.content.decode()
        assert open_in(browser_of(operator), lab).status_code == 422
        browser.post(reverse("emergency-access-end", args=["lab", access.pk]))
        assert open_in(browser, lab).status_code == 302

    @pytest.mark.as_owner
    def test_is_not_for_a_closed_tenant(self, browser, lab):
        close(lab)
        assert open_in(browser, lab).status_code == 422
        assert not EmergencyAccess.objects.in_tenant(lab).exists()

    @pytest.mark.parametrize(
        "wrong",
        [{"minutes": 241}, {"reason": "too short"}, {"reviews_itself": True}, {"minutes": 0}],
        ids=str,
    )
    def test_is_held_to_its_rules_by_the_database(self, lab, operator, wrong):
        values = {"opened_at": now(), "reason": wrong.get("reason", REASON), "session_digest": "0" * 64}
        values["expires_at"] = values["opened_at"] + timedelta(minutes=wrong.get("minutes", 15))
        if "reviews_itself" in wrong:
            values |= {"reviewed_by": operator, "reviewed_at": now(), "remark": "Fine."}
        with pytest.raises(IntegrityError), transaction.atomic():
            EmergencyAccess.objects.create(tenant=lab, opened_by=operator, **values)


@pytest.mark.django_db
def test_a_members_page_asks_nothing_about_it_and_staffs_once(lab, developer, operator):
    for person, times in ((developer, 0), (operator, 1)):
        browser = browser_of(person)
        with CaptureQueriesContext(connection) as asked:
            browser.get("/t/lab/")
        assert sum("tenants_emergencyaccess" in query["sql"] for query in asked.captured_queries) == times

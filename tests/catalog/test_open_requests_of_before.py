"""An upgrade finds who could act for the askers of open requests, as far as the audit trail knows, and the facts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command

from catalog.actions import decide_review, raise_access_request
from catalog.models import AccessRequest, RequestDelegate, ReviewDecision
from tenants import actions
from tenants.models import Membership
from tests.factories import member_of

BEFORE = "0008_four_eyes_of_programs"


def migrate(*to):
    call_command("migrate", "catalog", *to, verbosity=0, interactive=False)


@pytest.mark.as_owner
@pytest.mark.django_db(transaction=True)
def test_people_and_facts_are_filled_in(lab, project, owner, priced_model, review_of, security_reviewer, ask):
    account = actions.create_service_account(lab, name="Nightly", role="developer", by=owner)
    gone, new_owner = member_of(lab, "admin"), member_of(lab, "owner")
    actions.issue_personal_access_token(account, name="t", life=timedelta(days=9), by=gone)
    asked = raise_access_request(
        project, priced_model.name, by=account, purpose="Letters.", expected_tokens_per_day=10**6,
        data_class="confidential",
    )  # fmt: skip
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    actions.remove_member(Membership.objects.in_tenant(lab).get(user=gone).pk, by=owner)
    handed_over = {"service_accounts": str(Membership.objects.in_tenant(lab).get(user=new_owner).pk)}
    actions.remove_member(
        Membership.objects.in_tenant(lab).get(user=owner).pk, by=new_owner, choices=handed_over
    )

    migrate(BEFORE)
    migrate()

    rows = RequestDelegate.objects.in_tenant(lab).filter(access_request=asked)
    found = {(row.person, row.capacity) for row in rows.select_related("person")}
    assert found >= {
        (gone, "issuer"),
        (gone, "manager"),
        (owner, "responsible"),
        (owner, "manager"),
        (new_owner, "responsible"),
        (new_owner, "manager"),
    }
    filled = AccessRequest.objects.in_tenant(lab).get(pk=asked.pk).facts
    assert filled == asked.facts
    assert ReviewDecision.objects.in_tenant(lab).get().facts == filled

"""The page of delegations: reviewers see and end their own, operators and auditors all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils.timezone import now
from guardian.shortcuts import assign_perm, remove_perm

from catalog.models import ReviewDelegation, ReviewScope, WorkingCalendar
from catalog.review_scopes import DECIDE
from tests.factories import staff

pytestmark = pytest.mark.django_db
LIST = "admin:catalog_reviewdelegation_changelist"
SENT = {"_form_submitted": "1"}


@pytest.fixture(autouse=True)
def no_second_factor(settings):
    settings.STAFF_SECOND_FACTOR = "optional"


@pytest.fixture
def mara():
    """She alone decides security reviews."""
    scope = ReviewScope.objects.get(track__code="security")
    remove_perm(DECIDE, Group.objects.get(name="security-reviewer"), scope)
    person = staff("security-reviewer", name="Mara")
    assign_perm(DECIDE, person, scope)
    return person


@pytest.fixture
def tomas(mara):
    return staff("security-reviewer", name="Tomas")


def page(client, person, address):
    client.force_login(person)
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


def delegate(client, mara, tomas, **said):
    client.force_login(mara)
    last = (now() + timedelta(days=3)).date()
    form = (
        SENT | {"track": str(track_pk()), "email": tomas.email, "first_day": "", "last_day": f"{last}"} | said
    )
    return client.post("/admin/catalog/reviewdelegation/delegate/", form)


def track_pk():
    return ReviewScope.objects.get(track__code="security").track.pk


def test_a_reviewer_delegates_from_now_on_until_the_end_of_a_day(client, mara, tomas):
    WorkingCalendar.objects.update(time_zone="Asia/Shanghai")
    last = (now() + timedelta(days=3)).date()
    assert delegate(client, mara, tomas, last_day=f"{last}").status_code == 302
    given = ReviewDelegation.objects.get()
    midnight = datetime.combine(last + timedelta(days=1), datetime.min.time(), ZoneInfo("Asia/Shanghai"))
    assert given.ends_at == midnight.astimezone(UTC)
    assert (given.giver, given.receiver) == (mara, tomas)
    assert given.begins_at <= now()


def test_what_is_wrong_stands_beside_its_field(client, mara, tomas):
    answer = delegate(client, mara, tomas, email="nobody@example.com")
    assert answer.status_code == 422
    assert "Nobody with this address has a reviewer&#x27;s role." in answer.content.decode()
    answer = delegate(client, mara, tomas, last_day=f"{(now() + timedelta(days=60)).date()}")
    assert "at most 30 days" in answer.content.decode()
    # He has no scope of his own, and so no track to choose.
    assert delegate(client, tomas, mara).status_code == 422
    assert not ReviewDelegation.objects.exists()


def test_reviewers_see_their_own_and_operators_and_auditors_all(client, mara, tomas, operator):
    delegate(client, mara, tomas)
    given = ReviewDelegation.objects.get()
    one = reverse("admin:catalog_reviewdelegation_change", args=[given.pk])
    for person in (mara, tomas, operator, staff("auditor")):
        assert "Tomas" in page(client, person, reverse(LIST))
        assert "In force" in page(client, person, one)
    other = staff("cost-reviewer")
    assert "Tomas" not in page(client, other, reverse(LIST))
    assert client.get(one).status_code in (302, 404)
    client.force_login(other)
    assert client.post(f"/admin/catalog/reviewdelegation/{given.pk}/finish/", SENT).status_code in (403, 404)
    client.force_login(tomas)
    assert client.post(f"/admin/catalog/reviewdelegation/{given.pk}/finish/", SENT).status_code == 302
    given.refresh_from_db()
    assert given.ended_at is not None
    assert "Over" in page(client, tomas, one)


def test_the_review_and_the_request_say_in_whose_place(client, mara, tomas, ask, review_of, developer, lab):
    delegate(client, mara, tomas)
    asked = ask()
    review = review_of(asked)
    address = reverse("admin:catalog_review_change", args=[review.pk])
    assert "You decide in the place of Mara, until" in page(client, tomas, address)
    assert "in the place of" not in page(client, mara, address)
    client.force_login(tomas)
    assert client.post(address, {"verdict": "approve", "comment": ""}).status_code == 302
    shown = page(client, developer, reverse("request-detail", args=[lab.slug, asked.pk]))
    assert "Tomas for Mara" in shown
    client.force_login(tomas)
    told = client.get(f"/api/v1/access-requests/{asked.pk}/").json()
    [decision] = told["reviews"][0]["decisions"]
    assert (decision["reviewer"], decision["in_place_of"]) == (tomas.email, mara.email)

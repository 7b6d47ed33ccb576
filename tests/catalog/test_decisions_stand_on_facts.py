"""At every decision the rules run again: what they want now and nobody has decided is asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils.timezone import now

from audit.models import AuditEntry
from billing.prices import hour_of, publish_prices
from catalog.actions import decide_review, revoke_grant
from catalog.forms import DecisionForm
from catalog.models import AccessRequest, CatalogModel, Grant, Review, ReviewDecision
from core.errors import Conflict
from tenants.actions import issue_personal_access_token
from tenants.models import ApiKey
from tests.concurrency import at_the_same_time
from tests.factories import CatalogModelFactory, staff

ASKING = {
    "project": "letters",
    "model": "gpt-4.1",
    "purpose": "try it out for the letters tool",
    "expected_tokens_per_day": 1_000_000,
    "data_class": "internal",
    "duration_days": 30,
}


def price(name, hours_ago=0, **per_million):
    """Publish today's prices of a model, in force since this hour or an earlier one."""
    prices = {kind: Decimal(value) for kind, value in per_million.items()}
    since = hour_of(now()) - timedelta(hours=hours_ago)
    publish_prices(name, prices, valid_from=since, reason="test", by=None)


@pytest.fixture
def gpt(db):
    model = CatalogModelFactory(name="gpt-4.1", title="GPT-4.1")
    prices = {"input": Decimal(2), "output": Decimal(8)}
    publish_prices(model.name, prices, valid_from=hour_of(now()) - timedelta(hours=3), reason="t", by=None)
    return model


@pytest.fixture
def call(client):
    """Call the API as a person, by a token of their own."""

    def call(person, method, path, body=None):
        _, secret = issue_personal_access_token(person, name="t", life=timedelta(days=1))
        return getattr(client, method)(
            f"/api/v1/{path}",
            json.dumps(body) if body is not None else None,
            content_type="application/json",
            headers={"Authorization": f"Bearer {secret}"},
        )

    return call


@pytest.fixture
def decide(call):
    def decide(person, asked, track, verdict="approve"):
        said = {"track": track, "verdict": verdict, "comment": "fine"}
        return call(person, "post", f"access-requests/{asked['id']}/reviews/", said)

    return decide


@pytest.fixture
def asked(call, gpt, project, developer):
    return call(developer, "post", "access-requests/", ASKING).json()


def states(answer):
    return {review["track"]: review["state"] for review in answer["reviews"]}


def nothing_was_granted():
    return not Grant.objects.across_tenants().exists() and not ApiKey.objects.across_tenants().exists()


def test_a_price_raised_a_hundredfold_needs_a_cost_review(
    asked, decide, call, developer, security_reviewer, cost_reviewer
):
    """Case 09: asked at 105 a month, decided at 10,500."""
    assert (states(asked), Decimal(asked["expected_monthly_cost"])) == ({"security": "pending"}, 105)
    price("gpt-4.1", input="250", output="1000")
    answer = decide(security_reviewer, asked, "security")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["state"], found["grant"]) == ("pending", None)
    assert states(found) == {"security": "approved", "cost": "pending"}
    assert Decimal(found["expected_monthly_cost"]) == Decimal(13125)
    assert "Now needs a cost review" in found["notice"]
    assert "was 105.00 USD and is now 13,125.00 USD" in found["notice"]
    assert nothing_was_granted()
    line = AuditEntry.objects.across_tenants().get(verb="access_request.facts_changed")
    assert line.changes["expected_monthly_cost"] == ["105.00000000", "13125.00000000"]
    assert line.details["tracks_added"] == ["cost"]

    seen = call(developer, "get", f"access-requests/{asked['id']}/").json()
    assert "Now needs a cost review" in seen["notice"]
    done = decide(cost_reviewer, asked, "cost").json()
    assert (done["state"], done["notice"]) == ("approved", "")
    assert Grant.objects.across_tenants().count() == 1


def test_a_price_that_is_withdrawn_needs_a_cost_review(asked, decide, security_reviewer):
    price("gpt-4.1")
    found = decide(security_reviewer, asked, "security").json()
    assert (found["state"], states(found)) == ("pending", {"security": "approved", "cost": "pending"})
    assert found["expected_monthly_cost"] is None
    assert "no price" in found["notice"]
    assert nothing_was_granted()


def test_a_raised_risk_tier_is_looked_at_before_it_is_decided(asked, decide, security_reviewer):
    CatalogModel.objects.filter(name="gpt-4.1").update(risk_tier="high")
    first = decide(security_reviewer, asked, "security")
    assert (first.status_code, first.json()["code"]) == (409, "facts_changed")
    assert "risk tier was moderate and is now high" in first.json()["detail"]
    assert not ReviewDecision.objects.across_tenants().exists()
    second = decide(security_reviewer, asked, "security").json()
    assert states(second) == {"security": "approved", "compliance": "pending"}
    assert (second["state"], nothing_was_granted()) == ("pending", True)


def test_a_cost_reviewer_approves_the_cost_they_were_shown(
    asked, decide, call, developer, project, cost_reviewer
):
    wanted = ASKING | {"expected_tokens_per_day": 10_000_000, "model": "big-1"}
    CatalogModelFactory(name="big-1")
    since = hour_of(now()) - timedelta(hours=3)
    prices = {"input": Decimal(2), "output": Decimal(8)}
    publish_prices("big-1", prices, valid_from=since, reason="t", by=None)
    dear = call(developer, "post", "access-requests/", wanted).json()
    assert states(dear)["cost"] == "pending"
    price("big-1", input="200", output="800")
    refused = decide(cost_reviewer, dear, "cost")
    assert refused.status_code == 409
    assert "was 1,050.00 USD and is now 105,000.00 USD" in refused.json()["detail"]
    shown = call(cost_reviewer, "get", f"access-requests/{dear['id']}/").json()
    assert Decimal(shown["expected_monthly_cost"]) == 105_000
    assert states(decide(cost_reviewer, dear, "cost").json())["cost"] == "approved"


def test_an_approval_carries_no_more_than_it_was_given_for(
    asked, decide, call, developer, security_reviewer, cost_reviewer
):
    price("gpt-4.1", input="20", output="80")
    assert decide(security_reviewer, asked, "security").json()["notice"]
    CatalogModel.objects.filter(name="gpt-4.1").update(risk_tier="high")
    found = decide(cost_reviewer, asked, "cost").json()
    assert states(found) == {"security": "pending", "cost": "approved", "compliance": "pending"}
    (again,) = [review for review in found["reviews"] if review["track"] == "security"]
    assert (again["round"], again["opened_by_facts"], again["decisions"][0]["round"]) == (2, True, 1)
    assert (found["state"], nothing_was_granted()) == ("pending", True)
    answer = decide(security_reviewer, asked, "security")
    assert answer.status_code == 200, "the same person decides again, on the new facts"
    assert states(answer.json())["security"] == "approved"


def test_a_raised_price_asks_an_approved_cost_track_again(
    ask, project, gpt, review_of, security_reviewer, cost_reviewer
):
    asked = ask(model="gpt-4.1", expected_tokens_per_day=10_000_000)
    decide_review(review_of(asked, "cost").pk, by=cost_reviewer, verdict="approve")
    price("gpt-4.1", input="2.01", output="8.01")
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    cost = review_of(asked, "cost")
    assert (cost.state, cost.round) == ("pending", 2)
    assert "was 1,050.00 USD and is now 1,053.00 USD" in cost.reason
    assert nothing_was_granted()


@pytest.mark.parametrize(("input_price", "output_price"), [("1", "4"), ("2", "8")])
def test_an_approval_carries_what_costs_no_more(
    ask, project, gpt, review_of, security_reviewer, cost_reviewer, input_price, output_price
):
    asked = ask(model="gpt-4.1", expected_tokens_per_day=10_000_000)
    decide_review(review_of(asked, "cost").pk, by=cost_reviewer, verdict="approve")
    price("gpt-4.1", input=input_price, output=output_price)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert review_of(asked, "cost").round == 1
    asked.refresh_from_db()
    assert asked.state == "approved"


def test_of_two_people_the_first_is_asked_again(ask, review_of, priced_model, lab, security_reviewer):
    asked = ask()
    Review.objects.in_tenant(lab).update(quorum=2)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    CatalogModel.objects.filter(pk=priced_model.pk).update(risk_tier="high")
    second = staff("security-reviewer")
    with pytest.raises(Conflict, match="Check the request again"):
        decide_review(review_of(asked).pk, by=second, verdict="approve")
    assert review_of(asked).round == 2
    decide_review(review_of(asked).pk, by=second, verdict="approve")
    assert review_of(asked).state == "pending"
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert review_of(asked).state == "approved"


@pytest.fixture
def known_model(ask, gpt, review_of, lab, owner, security_reviewer):
    """A model of low risk that the project has had before: any one may look at a cheap request for it."""
    CatalogModel.objects.filter(pk=gpt.pk).update(risk_tier="low")
    before = ask(model=gpt.name)
    decide_review(review_of(before).pk, by=security_reviewer, verdict="approve")
    revoke_grant(Grant.objects.in_tenant(lab).get().pk, by=owner, reason="Over.")
    return gpt


def test_of_two_people_the_first_is_asked_again_where_no_rule_wants_the_track(
    ask, known_model, review_of, lab, security_reviewer
):
    asked = ask(model=known_model.name)
    assert "Another person reviews" in review_of(asked).reason
    Review.objects.in_tenant(lab).filter(access_request=asked).update(quorum=2)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    CatalogModel.objects.filter(pk=known_model.pk).update(risk_tier="moderate")
    second = staff("security-reviewer")
    with pytest.raises(Conflict, match="was low and is now moderate"):
        decide_review(review_of(asked).pk, by=second, verdict="approve")
    decide_review(review_of(asked).pk, by=second, verdict="approve")
    assert (review_of(asked).state, review_of(asked).round) == ("pending", 2)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    assert review_of(asked).state == "approved"


def test_an_approved_track_that_no_rule_wants_is_asked_again_on_worse_facts(
    ask, known_model, review_of, lab, security_reviewer, cost_reviewer
):
    asked = ask(model=known_model.name)
    price(known_model.name, input="20", output="80")
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    CatalogModel.objects.filter(pk=known_model.pk).update(risk_tier="moderate")
    decide_review(review_of(asked, "cost").pk, by=cost_reviewer, verdict="approve")
    security = review_of(asked)
    assert (security.state, security.round) == ("pending", 2)
    assert security.reason == "The model's risk tier was low and is now moderate."
    asked.refresh_from_db()
    assert asked.state == "pending"
    assert not Grant.objects.in_tenant(lab).filter(item__access_request=asked).exists()


def test_a_request_without_facts_shows_them_before_it_is_approved(ask, gpt, review_of, lab, cost_reviewer):
    """As old processes write them while an upgrade is under way: nobody knows what its reviewer has read."""
    asked = ask(model=gpt.name, expected_tokens_per_day=10_000_000)
    AccessRequest.objects.in_tenant(lab).filter(pk=asked.pk).update(facts={})
    price(gpt.name, input="200", output="800")
    cost = review_of(asked, "cost")
    with pytest.raises(Conflict, match="Some of the earlier facts are not recorded"):
        decide_review(cost.pk, by=cost_reviewer, verdict="approve")
    asked.refresh_from_db()
    assert (asked.expected_monthly_cost, asked.facts[str(asked.items.get().pk)]["expected_monthly_cost"]) == (
        105_000,
        "105000.00000000",
    )
    assert decide_review(cost.pk, by=cost_reviewer, verdict="approve").state == "approved"


def test_a_refusal_needs_no_second_look_and_keeps_the_facts(asked, decide, security_reviewer):
    CatalogModel.objects.filter(name="gpt-4.1").update(risk_tier="high")
    answer = decide(security_reviewer, asked, "security", "reject")
    assert (answer.status_code, answer.json()["state"]) == (200, "rejected")
    decision = ReviewDecision.objects.across_tenants().get()
    (facts,) = decision.facts.values()
    assert decision.facts == answer.json()["facts"]
    assert facts["risk_tier"] == "high"
    assert states(answer.json()) == {"security": "rejected"}


def test_the_page_shows_the_facts_of_now_and_takes_a_decision_on_them(
    client, settings, ask, gpt, review_of, cost_reviewer
):
    settings.STAFF_SECOND_FACTOR = "optional"
    asked = ask(model="gpt-4.1", expected_tokens_per_day=10_000_000)
    price("gpt-4.1", input="200", output="800")
    client.force_login(cost_reviewer)
    url = f"/admin/catalog/review/{review_of(asked, 'cost').pk}/change/"
    page = client.get(url)
    assert "105,000.00 USD" in page.content.decode()
    assert "was 1,050.00 USD and is now 105,000.00 USD" in page.content.decode()
    outdated = client.post(url, {"verdict": "approve", "seen": json.dumps(asked.facts)})
    assert outdated.status_code == 409
    asked.refresh_from_db()
    assert asked.expected_monthly_cost == 105_000, "the request shows the new facts"
    assert client.post(url, {"verdict": "approve", "seen": '{"risk_tier": "x"}'}).status_code == 409
    assert client.post(url, {"verdict": "approve", "seen": page.context["seen"]}).status_code == 302
    assert review_of(asked, "cost").state == "approved"


def test_reviewer_and_requester_read_on_their_pages_what_it_needs_now(
    client, settings, ask, gpt, lab, developer, review_of, security_reviewer
):
    settings.STAFF_SECOND_FACTOR = "optional"
    asked = ask(model="gpt-4.1")
    price("gpt-4.1", input="250", output="1000")
    client.force_login(security_reviewer)
    url = f"/admin/catalog/review/{review_of(asked).pk}/change/"
    answer = client.post(url, {"verdict": "approve"}, follow=True)
    assert "Now needs a cost review" in answer.content.decode()
    client.force_login(developer)
    page = client.get(f"/t/lab/requests/{asked.pk}/").content.decode()
    assert "Now needs a cost review" in page
    assert "found that the facts have changed" in page


def test_whoever_sends_the_facts_they_read_approves_no_others(
    asked, decide, call, cost_reviewer, security_reviewer
):
    """Somebody else's attempt has made the request show the new price meanwhile."""
    price("gpt-4.1", hours_ago=1, input="20", output="80")
    read = decide(security_reviewer, asked, "security").json()["facts"]
    price("gpt-4.1", input="2000", output="8000")
    assert decide(cost_reviewer, asked, "cost").status_code == 409
    path = f"access-requests/{asked['id']}/reviews/"
    said = {"track": "cost", "verdict": "approve"}
    unreadable = [
        {"expected_monthly_cost": cost} for cost in ("much", "-1e99999999999", "-1e999999999999999999")
    ]
    item = asked["items"][0]["id"]
    for facts in (read, {}, {item: 7}, {item: {"currency": 7}}, *({item: one} for one in unreadable)):
        assert call(cost_reviewer, "post", path, said | {"facts": facts}).status_code == 409
    shown = call(cost_reviewer, "get", f"access-requests/{asked['id']}/").json()["facts"]
    answer = call(cost_reviewer, "post", path, said | {"facts": shown})
    assert (answer.status_code, answer.json()["state"]) == (200, "approved")


@pytest.mark.django_db(transaction=True)
def test_no_price_is_raised_between_the_rules_and_the_grant(ask, gpt, review_of, security_reviewer):
    """Whichever is first: the grant stands on a price of before, or the request waits for the cost review."""
    asked = ask(model="gpt-4.1")
    review = review_of(asked)
    outcomes = at_the_same_time(
        lambda: decide_review(review.pk, by=security_reviewer, verdict="approve"),
        lambda: price("gpt-4.1", input="250", output="1000"),
    )
    assert not any(isinstance(outcome, Exception) for outcome in outcomes), outcomes
    asked.refresh_from_db()
    (facts,) = ReviewDecision.objects.across_tenants().get().facts.values()
    is_cheap = Decimal(facts["expected_monthly_cost"]) == 105
    assert Grant.objects.across_tenants().exists() is is_cheap
    assert (asked.state == "approved") is is_cheap


@pytest.mark.django_db(transaction=True)
def test_who_publishes_prices_waits_for_a_decision(ask, gpt, review_of, security_reviewer, database_url):
    import psycopg
    from django.db import transaction

    asked = ask(model="gpt-4.1")
    with transaction.atomic():
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
        with psycopg.connect(database_url) as other:
            taken = other.execute("SELECT pg_try_advisory_xact_lock(hashtext('billing.prices'))").fetchone()
    assert taken == (False,)


def test_a_page_whose_facts_are_damaged_says_so():
    form = DecisionForm({"verdict": "approve", "seen": "{", "comment": "Fine."})
    assert not form.is_valid()
    assert ["Open the page again" in error for error in form.non_field_errors()] == [True]

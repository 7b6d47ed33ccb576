"""The catalog's pages as their readers meet them."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils.html import escape
from django.utils.timezone import now

from billing.ingest import record_usage
from catalog.actions import decide_review
from catalog.models import AccessRequest, CatalogModel, Offer
from core.ids import uuid7
from tenants.models import ApiKey
from tests.factories import ApiKeyFactory, CatalogModelFactory, member_of, staff
from tests.usage_records import usage_record


@pytest.fixture
def page(client, developer):
    """Get a page of the lab as its developer."""
    client.force_login(developer)

    def get(name, *args, **query):
        headers = {"HX-Request": "true"} if query.pop("htmx", False) else {}
        return client.get(reverse(name, args=["lab", *args]), query, headers=headers)

    return get


def text_of(response):
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def week_of(home):
    """The block with the last seven days; None if the page has none."""
    found = [one.facts for one in home.context["home"].aside if one.template.endswith("_week.html")]
    return found[0] if found else None


@pytest.mark.parametrize("words", ["gpt-4o", "gpt4o", "GPT 4o", "4o gpt", "openai 4o"])
def test_models_are_found_by_the_beginnings_of_words_however_they_are_written(page, words):
    CatalogModelFactory(name="gpt-4o", title="GPT-4o", maker="OpenAI")
    CatalogModelFactory(name="claude-sonnet-4-5", title="Claude Sonnet 4.5", maker="Anthropic")
    response = page("model-list", q=words)
    assert [card.model.name for card in response.context["page"]] == ["gpt-4o"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("llama 3.3", ["llama-3.3-70b-instruct"]),
        ("llama3.3", ["llama-3.3-70b-instruct"]),
        ("claude sonnet", ["claude-sonnet-4-5"]),
        ("sonn", ["claude-sonnet-4-5"]),
        ("llama claude", []),
        ("' | & ! :*", []),
        ("%_\\", []),
    ],
)
def test_words_narrow_and_odd_characters_do_no_harm(page, words, found):
    CatalogModelFactory(name="llama-3.3-70b-instruct", title="Llama 3.3 70B Instruct")
    CatalogModelFactory(name="claude-sonnet-4-5", title="Claude Sonnet 4.5")
    assert [card.model.name for card in page("model-list", q=words).context["page"]] == found


def test_the_whole_name_comes_first(page):
    for name in ("gpt-4o-mini", "gpt-4o", "my-gpt-4o"):
        CatalogModelFactory(name=name, title=name, offer_count=len(name))
    names = [card.model.name for card in page("model-list", q="gpt-4o").context["page"]]
    assert names == ["gpt-4o", "gpt-4o-mini", "my-gpt-4o"]


def test_drafts_and_retired_models_are_in_no_list_and_have_no_page(page):
    for lifecycle in ("draft", "retired"):
        CatalogModelFactory(name=f"{lifecycle}-1", lifecycle=lifecycle)
    response = page("model-list")
    assert response.context["total"] == 0
    for lifecycle in ("draft", "retired"):
        for route in ("model-detail", "request-new"):
            assert page(route, f"{lifecycle}-1").status_code == 404


def test_counts_of_a_facet_follow_what_is_chosen_in_the_others(page):
    CatalogModelFactory(mode="chat", capabilities={"vision": True}, providers=["a", "b"])
    CatalogModelFactory(mode="chat", capabilities={"vision": False}, providers=["b"])
    CatalogModelFactory(mode="embedding", providers=["b"], highest_data_class="internal")
    response = page("model-list", mode="chat")
    counts = {
        facet["key"]: {option["value"]: option["count"] for option in facet["options"]}
        for facet in response.context["facets"]
    }
    assert counts["mode"] == {"chat": 2, "embedding": 1}
    assert (counts["capability"]["vision"], counts["capability"]["reasoning"]) == (1, 0)
    assert counts["provider"] == {"b": 2, "a": 1}
    assert counts["data_class"] == {"internal": 2, "confidential": 2, "restricted": 0}
    assert counts["access"] == {"granted": 0, "in_review": 0, "requestable": 2, "unavailable": 0}
    assert [chip["value"] for chip in response.context["chips"]] == ["Chat"]


def test_pages_go_on_and_back_without_losing_a_model(page):
    for number in range(60):
        CatalogModelFactory(name=f"model-{number:03}", title=f"Model {number}", context_tokens=number % 7)
    for sort in ("recommended", "name", "price", "context", "newest"):
        seen, response = [], page("model-list", sort=sort)
        first = [card.model.name for card in response.context["page"]]
        while True:
            seen += [card.model.name for card in response.context["page"]]
            if not response.context["older_url"]:
                break
            last = response
            response = page("model-list", **query_of(response.context["older_url"]))
        assert len(seen) == len(set(seen)) == 60
        back = page("model-list", **query_of(last.context["newer_url"]))
        assert [card.model.name for card in back.context["page"]] == first


def query_of(url):
    from urllib.parse import parse_qsl

    return dict(parse_qsl(url.lstrip("?")))


def test_a_forged_cursor_is_the_first_page(page):
    CatalogModelFactory()
    assert len(page("model-list", after="eyJhIjoxfQ").context["page"]) == 1


def test_a_list_asks_the_same_number_of_questions_however_many_models(page, django_assert_max_num_queries):
    CatalogModelFactory(providers=["a"], capabilities={"vision": True})
    wanted = {"q": "model", "mode": "chat", "provider": "a", "capability": "vision"}
    page("model-list", **wanted)
    with django_assert_max_num_queries(25) as few:
        page("model-list", **wanted)
    for _ in range(30):
        CatalogModelFactory(providers=["a", "b"], capabilities={"vision": True})
    with django_assert_max_num_queries(25) as many:
        response = page("model-list", **wanted)
    assert len(response.context["page"]) == 24
    assert len(few) == len(many)


def test_htmx_gets_the_results_and_a_browser_the_page(page):
    CatalogModelFactory(title="GLM-4.6")
    whole, part = page("model-list"), page("model-list", htmx=True)
    assert "<html" in whole.content.decode()
    assert "<html" not in part.content.decode()
    assert 'id="results"' in part.content.decode()
    assert {"HX-Request", "HX-Request-Type"} <= set(whole["Vary"].split(", "))


def test_a_card_shows_prices_and_says_when_there_are_none(page, priced_model):
    CatalogModelFactory(name="unpriced-1")
    cards = {card.model.name: card for card in page("model-list").context["page"]}
    assert cards["glm-4.6"].prices == {"input": Decimal("0.60"), "output": Decimal("2.20")}
    assert cards["unpriced-1"].prices == {"input": None, "output": None}
    assert "Not priced" in text_of(page("model-list"))


def test_a_model_page_has_its_tabs_prices_offers_and_snippets(page, priced_model, settings):
    assert "GLM-4.6" in text_of(page("model-detail", "glm-4.6"))
    assert "$2.20" in text_of(page("model-detail", "glm-4.6", tab="prices"))
    assert "Confidential" in text_of(page("model-detail", "glm-4.6", tab="policy"))
    Offer.objects.create(
        model=priced_model, source="t", source_key="eu/glm", provider="zai", region="eu", digest=""
    )
    assert "zai" in text_of(page("model-detail", "glm-4.6", tab="versions"))
    use = page("model-detail", "glm-4.6", tab="use").content.decode()
    assert settings.GATEWAY_URL in use
    assert escape('model="glm-4.6"') in use or 'model="glm-4.6"' in use


def test_a_name_with_dots_has_its_page(page):
    CatalogModelFactory(name="llama-3.3-70b-instruct.v1")
    assert page("model-detail", "llama-3.3-70b-instruct.v1").status_code == 200


@pytest.fixture
def answers(project):
    return {
        "project": str(project.pk),
        "purpose": "Draft replies.",
        "data_class": "internal",
        "expected_tokens_per_day": "1000000",
        "duration_days": "90",
        "requests_per_minute": "3",
    }


def test_the_form_sends_a_request_and_its_page_says_which_reviews_it_needs(
    client, page, priced_model, answers
):
    assert page("request-new", "glm-4.6").status_code == 200
    response = client.post(reverse("request-new", args=["lab", "glm-4.6"]), answers, follow=True)
    asked = AccessRequest.objects.across_tenants().get()
    assert response.redirect_chain[-1][0] == reverse("request-detail", args=["lab", asked.pk])
    assert asked.items.get().limits == {"requests_per_minute": "3"}
    words = text_of(response)
    assert "GLM-4.6 for Letters" in words
    assert "The project has not used this model before." in words
    assert asked.reference in words


@pytest.mark.parametrize(("htmx", "status"), [(False, 400), (True, 422)])
def test_a_wrong_form_comes_back_with_what_to_mend(client, page, priced_model, answers, htmx, status):
    response = client.post(
        reverse("request-new", args=["lab", "glm-4.6"]),
        answers | {"purpose": "", "data_class": "restricted"},
        headers={"HX-Request": "true"} if htmx else {},
    )
    assert response.status_code == status
    assert "purpose" in response.context["form"].errors
    response = client.post(
        reverse("request-new", args=["lab", "glm-4.6"]), answers | {"data_class": "restricted"}
    )
    assert "GLM-4.6 is allowed up to Confidential data" in text_of(response)


def test_the_preview_shows_cost_reviews_and_what_is_not_allowed(client, page, priced_model, answers):
    url = reverse("request-preview", args=["lab", "glm-4.6"])
    words = text_of(client.post(url, answers | {"expected_tokens_per_day": "50000000"}))
    page("model-list")
    assert "/ month" in words
    assert "likely" in words
    assert "Security" in words
    assert "Cost" in words
    assert "Enter how many tokens" in text_of(client.post(url, {}))
    assert not AccessRequest.objects.across_tenants().exists()


def test_a_second_request_is_a_conflict(client, page, priced_model, answers):
    url = reverse("request-new", args=["lab", "glm-4.6"])
    page("model-list")
    client.post(url, answers)
    response = client.post(url, answers)
    assert response.status_code == 409
    assert "already has an open request" in text_of(response)


def test_lists_and_home_show_whose_turn_it_is(page, ask, review_of, security_reviewer):
    asked = ask()
    assert "Security review" in text_of(page("request-list"))
    assert asked.items.get().model.title in text_of(page("tenant-home"))
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve", comment="Looks fine.")
    assert asked.items.get().model.title in text_of(page("request-list", tab="needs_you"))
    assert asked.items.get().model.title in text_of(page("request-list", tab="closed"))
    home = text_of(page("tenant-home"))
    assert "The key for glm-4.6 is ready" in home
    detail = text_of(page("request-detail", asked.pk))
    assert "Looks fine." in detail
    assert "Claim key" in detail
    assert text_of(page("request-detail", asked.pk, htmx=True)).startswith("GLM-4.6 for Letters")


def test_a_refused_request_says_why_and_what_to_do(page, ask, review_of, security_reviewer):
    asked = ask()
    decide_review(
        review_of(asked).pk, by=security_reviewer, verdict="reject", comment="Mask the names first."
    )
    words = text_of(page("request-detail", asked.pk))
    assert "Mask the names first." in words
    assert "send a new request" in words


def test_withdrawing_asks_first(client, page, ask):
    asked = ask()
    url = reverse("request-withdraw", args=["lab", asked.pk])
    assert "cannot be reopened" in text_of(page("request-withdraw", asked.pk))
    assert "<html" not in page("request-withdraw", asked.pk, htmx=True).content.decode()
    assert AccessRequest.objects.across_tenants().get().state == "pending"
    client.post(url)
    assert AccessRequest.objects.across_tenants().get().state == "withdrawn"
    assert client.post(url).status_code == 409


def test_a_key_that_nobody_claimed_in_time_is_requested_again(page, ask, review_of, security_reviewer):
    asked = ask()
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    keys = ApiKey.objects.across_tenants()
    assert "you can claim a key" in text_of(page("model-list"))
    keys.update(claim_by=now() - timedelta(seconds=1))
    for name, arguments in (
        ("model-list", []),
        ("model-detail", [asked.items.get().model.name]),
        ("tenant-home", []),
    ):
        words = text_of(page(name, *arguments))
        assert "laim key" not in words
        assert "has access" not in words
    assert "Can be requested" in text_of(page("model-list"))
    words = text_of(page("request-detail", asked.pk))
    assert "Claim date passed" in words
    assert "Request access again." in words
    assert "laim key" not in words
    assert "claim" not in text_of(page("request-list", htmx=True)).replace("Claim date passed", "")
    # A key that somebody has, for another request, still counts.
    other = ask()
    decide_review(review_of(other).pk, by=security_reviewer, verdict="approve")
    assert "you can claim a key" in text_of(page("model-list"))


def test_a_key_is_claimed_on_its_page_and_its_secret_shown_once(
    client, page, ask, review_of, security_reviewer
):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="approve")
    key = ApiKey.objects.across_tenants().get()
    assert "Claim key" in text_of(page("key-list"))
    assert page("key-claim", key.pk).status_code == 200
    assert ApiKey.objects.across_tenants().get().state == "claimable"
    url = reverse("key-claim", args=["lab", key.pk])
    response = client.post(url)
    secret = response.context["secret"]
    assert secret in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    again = client.post(url)
    assert again.status_code == 409
    assert secret not in again.content.decode()
    assert secret not in page("key-list").content.decode()
    key.refresh_from_db()
    assert key.prefix in page("key-list").content.decode()

    assert "cannot be undone" in text_of(page("key-revoke", key.pk))
    client.post(reverse("key-revoke", args=["lab", key.pk]))
    assert ApiKey.objects.across_tenants().get().state == "revoked"
    assert "Revoked" in text_of(page("key-list", tab="ended"))


def test_a_viewer_reads_but_gets_no_forms_and_is_told_why(client, lab, priced_model, ask):
    asked = ask()
    client.force_login(member_of(lab, "viewer"))
    assert (
        "Request access" not in client.get(reverse("model-detail", args=["lab", "glm-4.6"])).content.decode()
    )
    response = client.get(reverse("request-new", args=["lab", "glm-4.6"]))
    assert response.status_code == 403
    assert "ask for model access" in text_of(response)
    assert client.post(reverse("request-withdraw", args=["lab", asked.pk])).status_code == 403


def test_models_outside_the_tenants_regions_are_locked_with_the_reason(client, page, lab):
    lab.regions = ["eu"]
    lab.save()
    CatalogModelFactory(name="american-1", title="American", regions=["us-east-1"])
    CatalogModelFactory(name="european-1", title="European", regions=["eu-central-1"])
    cards = {card.model.name: card.access for card in page("model-list").context["page"]}
    assert (cards["american-1"].state, cards["european-1"].state) == ("unavailable", "requestable")
    only = page("model-list", access="unavailable").context["page"]
    assert [card.model.name for card in only] == ["american-1"]
    assert page("request-new", "american-1").status_code == 403
    assert CatalogModel.objects.count() == 2


def test_home_and_keys_show_what_the_ledger_says_to_those_who_may_see_costs(
    client, page, lab, project, priced_model
):
    key = ApiKeyFactory(tenant=lab, project=project, name="letters", model_names=["glm-4.6"])
    call = usage_record(uuid7(), key.pk, "glm-4.6", now(), input=1_000_000, output=1_000_000)
    record_usage("test", [call])
    home = page("tenant-home")
    assert week_of(home).spend == Decimal("2.80")
    assert "$2.80" in text_of(home)
    assert "$2.80" in text_of(page("key-list"))
    client.force_login(staff("security-reviewer"))
    assert week_of(client.get(reverse("tenant-home", args=["lab"]))) is None


def test_what_somebody_typed_is_not_there_for_who_signs_in_next_in_the_same_tab(
    client, lab, project, developer
):
    model = CatalogModelFactory()
    keys = set()
    for person in (developer, member_of(lab, "developer", name="Somebody Else")):
        client.force_login(person)
        page = client.get(reverse("model-detail", args=["lab", model.name])).content.decode()
        keys |= set(re.findall(r'data-draft="([^"]+)"', page))
    assert len(keys) == 2

"""What a provider lists is kept, and matched with the catalog."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from deployments.models import Provider, ProviderModel
from deployments.provider_actions import (
    add_provider,
)
from deployments.provider_lists import match_provider_model, name_provider_model, refresh_provider
from deployments.provider_matching import candidates
from tests.deployments.provider_cast import PROVIDERS, as_user, whole_answer
from tests.deployments.provider_stub import MODELS, saying
from tests.factories import (
    CatalogModelFactory,
    ProviderFactory,
)

pytestmark = pytest.mark.django_db


def test_refreshing_adds_what_is_new_and_keeps_what_is_gone(provider, upstream, operator):
    upstream.answer = saying(200, {"data": [{"id": "gpt-4o"}, {"id": "text-embedding-9"}]})
    refresh_provider(provider.pk, by=operator)
    assert provider.models.count() == len(MODELS) + 1
    provider.refresh_from_db()
    assert set(provider.models.listed().values_list("name", flat=True)) == {"gpt-4o", "text-embedding-9"}
    assert provider.models.get(name="text-embedding-9").mode == "embedding"
    assert not provider.models.get(name="model-3").is_listed


def test_a_failed_refresh_is_kept_as_the_fault_and_changes_no_model(provider, upstream, operator):
    upstream.answer = saying(503, {"error": {"message": "overloaded"}})
    answer = as_user(operator).post(f"{PROVIDERS}{provider.pk}/refresh/")
    assert (answer.status_code, "overloaded" in whole_answer(answer)) == (409, True)
    provider.refresh_from_db()
    assert "503" in provider.fault
    assert provider.models.listed().count() == len(MODELS)


@pytest.mark.parametrize(
    ("name", "dialect", "public", "by"),
    [
        ("gpt-4o", "openai", "gpt-4o", "exact"),
        ("gpt-4o-2024-08-06", "openai", "gpt-4o", "normalized"),
        ("GPT-4o", "openai", "gpt-4o", "exact"),
        ("openai/gpt-4o", "openrouter", "gpt-4o", "normalized"),
        ("meta-llama/llama-3.3-70b-instruct:free", "openrouter", "llama-3.3-70b-instruct", "normalized"),
        ("meta-llama/Llama-3.3-70B-Instruct", "vllm", "llama-3.3-70b-instruct", "normalized"),
        ("claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5", "normalized"),
        ("mistral-large-latest", "mistral", "mistral-large", "normalized"),
        ("our-own-model", "openai", None, ""),
    ],
)
def test_names_are_matched_exactly_and_then_by_spelling(upstream, operator, name, dialect, public, by):
    for known in ("gpt-4o", "llama-3.3-70b-instruct", "claude-sonnet-4-5", "mistral-large"):
        CatalogModelFactory(name=known)
    provider = ProviderFactory(dialect=dialect)
    row = name_provider_model(provider.pk, name, by=operator)
    assert (row.model.name if row.model else None, row.matched_by) == (public, by)


def test_a_model_of_another_mode_or_a_retired_one_is_no_match(operator):
    CatalogModelFactory(name="text-embed-x", mode="chat")
    CatalogModelFactory(name="old-model", lifecycle="retired")
    provider = ProviderFactory()
    assert name_provider_model(provider.pk, "text-embed-x", "embedding", by=operator).model is None
    with pytest.raises(
        ValidationError, match=r"Gateways serve no models of this mode\. Possible are: .*chat"
    ):
        name_provider_model(provider.pk, "another", "chats", by=operator)
    assert name_provider_model(provider.pk, "old-model", by=operator).model is None


def test_a_persons_match_outlives_every_list(provider, upstream, operator):
    other = CatalogModelFactory(name="aya-expanse")
    CatalogModelFactory(name="gpt-4o")
    row = provider.models.get(name="gpt-4o")
    match_provider_model(row.pk, other, by=operator)
    refresh_provider(provider.pk, by=operator)
    row.refresh_from_db()
    assert (row.model, row.matched_by) == (other, "person")
    match_provider_model(row.pk, None, by=operator)
    refresh_provider(provider.pk, by=operator)
    row.refresh_from_db()
    assert row.model is None
    embedding = CatalogModelFactory(name="embedder", mode="embedding")
    row.mode = "chat"
    row.save()
    with pytest.raises(ValidationError, match="gpt-4o is for chat"):
        match_provider_model(row.pk, embedding, by=operator)


def test_a_long_list_costs_few_queries(upstream, operator, django_assert_max_num_queries):
    names = [{"id": f"vendor-{n}-2024-08-06"} for n in range(3_000)]
    upstream.answer = saying(200, {"data": names})
    draft = Provider(name="many", title="Many", dialect="openai_compatible", base_url=upstream.url)
    with django_assert_max_num_queries(60):
        add_provider(draft, None, by=operator)
    assert ProviderModel.objects.count() == 3_000
    assert candidates("x" * 200, "openai")[0][0] == "x" * 200

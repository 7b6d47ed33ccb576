"""Words that find models: one typo, Chinese, kinds, makers."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from catalog.models import CatalogModel
from catalog.typos import corrected, nearby
from core.palette import MOST
from tests.factories import CatalogModelFactory

PUBLISHED = CatalogModel.objects.published


@pytest.fixture
def some_models(db):
    CatalogModelFactory(
        name="gpt-4o", title="GPT-4o", maker="OpenAI", mode="chat", capabilities={"vision": True}
    )
    CatalogModelFactory(name="gpt-4o-mini", title="GPT-4o Mini", maker="OpenAI", mode="chat")
    CatalogModelFactory(name="claude-sonnet-4-5", title="Claude Sonnet 4.5", maker="Anthropic", mode="chat")
    CatalogModelFactory(name="qwen3-embedding", title="Qwen3 Embedding", maker="Alibaba", mode="embedding")
    CatalogModelFactory(
        name="flux-1",
        title="Flux 1",
        mode="image_generation",
        capabilities={"vision": False, "pdf_input": True},
    )
    CatalogModelFactory(name="letters-1", title="合同审阅助手", mode="chat")


@pytest.fixture
def page(client, developer, lab):
    client.force_login(developer)
    return lambda **query: client.get(reverse("model-list", args=["lab"]), query)


def names(response):
    return {card.model.name for card in response.context["page"]}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("gtp-4o", "gpt-4o"),
        ("gtp4o", "gpt4o"),
        ("GTP 4o mini", "gpt 4o mini"),
        ("claude sonet", "claude sonnet"),
        ("cluade", "claude"),
        ("claudde", "claude"),
        ("clavde 4.5", "claude 4.5"),
        ("mini gpt-4oo", "mini gpt-4o"),
        ("cl", None),
        # Two typos, and another version.
        ("gtp-4o minni", None),
        ("claude-5-5", None),
        ("qwen4", None),
        ("' | & ! :*", None),
        ("合同审", None),
    ],
)
def test_one_typo_is_corrected_and_no_version_is(some_models, typed, meant):
    assert corrected(typed, PUBLISHED()) == meant


def test_nearby_words_are_one_edit_away_and_keep_their_digits():
    typed = {"gpt", "tgp", "gto", "gtps", "agtp", "gp", "gtp", "gptt", "g"}
    assert typed & nearby("gtp") == {"gpt", "tgp", "gto", "gtps", "agtp", "gp"}
    assert all("4" in one and "5" not in one for one in nearby("v4o"))
    assert nearby("4.5") == nearby("4o") == nearby("对话模型") == nearby("a" * 30) == set()


def test_the_page_says_what_it_shows_and_searches_for_what_was_typed_on_request(page, some_models):
    response = page(q="gtp-4o")
    assert names(response) == {"gpt-4o", "gpt-4o-mini"}
    words = response.content.decode()
    assert "Nothing found for" in words
    assert 'value="gtp-4o"' in words
    literal = page(q="gtp-4o", typed="1")
    assert response.context["as_typed_url"] == "?q=gtp-4o&typed=1"
    assert not names(literal)
    assert "Nothing found for" not in literal.content.decode()
    # The words find something that a filter hides: that is no typo.
    assert page(q="claude", mode="embedding").context["as_typed_url"] == ""


def test_a_correction_reveals_no_word_of_a_model_that_nobody_may_find(page, some_models):
    CatalogModelFactory(name="zephyr-9", title="Zephyr", lifecycle="draft")
    assert corrected("zephir", PUBLISHED()) is None
    assert "ephyr" not in page(q="zephir").content.decode()


def test_a_typo_costs_a_constant_number_of_queries(page, some_models):
    page(q="gtp")
    with CaptureQueriesContext(
        connection,
    ) as few:
        page(q="gtp")
    for number in range(30):
        CatalogModelFactory(name=f"gpt-{number}", title=f"GPT {number}")
    with CaptureQueriesContext(connection) as many:
        page(q="gtp")
    assert len(few) == len(many) <= 30


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("对话", {"gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "letters-1"}),
        ("对话模型", {"gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "letters-1"}),
        ("视觉", {"gpt-4o"}),
        ("视觉对话模型", {"gpt-4o"}),
        ("图像生成", {"flux-1"}),
        ("图片", {"flux-1"}),
        ("PDF 输入", {"flux-1"}),
        ("通义千问", {"qwen3-embedding"}),
        ("通义千问 对话", set()),
        ("阿里巴巴的嵌入模型", {"qwen3-embedding"}),
        ("合同", {"letters-1"}),
        ("审阅助手", {"letters-1"}),
        ("手", {"letters-1"}),
        ("合同助手", set()),
        ("image generation", {"flux-1"}),
        ("vision", {"gpt-4o"}),
    ],
)
def test_chinese_finds_names_kinds_capabilities_and_makers(some_models, words, found):
    assert set(PUBLISHED().search(words).values_list("name", flat=True)) == found


def test_the_top_bars_search_corrects_a_typo(client, developer, lab, some_models):
    from catalog.palette import FINDERS

    hits = list(FINDERS[0].find(developer, lab, "cluade"))
    assert [hit.detail for hit in hits][:MOST] == ["claude-sonnet-4-5"]


@pytest.mark.django_db
def test_the_words_follow_what_people_change():
    model = CatalogModelFactory(name="flux-1", mode="chat", capabilities={}, providers=[])
    model.mode, model.capabilities, model.providers = "image_generation", {"reasoning": True}, ["azure_ai"]
    model.save()
    for words in ("图像生成", "推理", "azure"):
        assert PUBLISHED().search(words).count() == 1

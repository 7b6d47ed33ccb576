"""Other formats than the price map: lists in JSON, cards in YAML, and archives of cards. Hostile ones are refused."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile

import pytest
from django.core.management import call_command

from catalog.actions import accept_entries, start_import
from catalog.models import CatalogModel, Offer
from catalog.price_map import archives
from catalog.price_map.formats import FORMATS
from catalog.price_map.reading import UnreadableFile
from core.text_files import UnreadableText

MODELS_DEV = {
    "openai": {
        "id": "openai",
        "name": "OpenAI",
        "doc": "https://platform.openai.com/docs/models",
        "models": {
            "gpt-4o": {
                "id": "gpt-4o",
                "name": "GPT-4o",
                "family": "gpt",
                "tool_call": True,
                "reasoning": False,
                "modalities": {"input": ["text", "image", "pdf"], "output": ["text"]},
                "cost": {"input": 2.5, "output": 10, "cache_read": 1.25},
                "limit": {"context": 128000, "output": 16384},
            }
        },
    },
    "amazon-bedrock": {
        "id": "amazon-bedrock",
        "models": {"openai.gpt-oss-120b-1:0": {"cost": {"input": 0.15}}},
    },
}
OPENROUTER = {
    "data": [
        {
            "id": "openai/gpt-4o",
            "name": "OpenAI: GPT-4o",
            "context_length": 128000,
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "pricing": {"prompt": "0.0000025", "completion": "0.00001", "request": "0", "image": "0.003613"},
            "top_provider": {"max_completion_tokens": 16384},
            "supported_parameters": ["tools", "structured_outputs"],
        },
        {"id": "openai/gpt-oss-20b:free", "pricing": {"prompt": "0", "completion": "0"}},
        {"id": "openrouter/auto-2", "pricing": {"prompt": "-1", "completion": "-1"}},
    ]
}
KUBEFLOW = """
source: Hugging Face
models:
  - name: ibm-granite/granite-3.1-8b-instruct
    provider: IBM
    description: A model for letters.
    license: apache-2.0
    licenseLink: https://www.apache.org/licenses/LICENSE-2.0.txt
    language: [en, de, no]
    tasks: [text-generation]
"""
CARD = """---
license: other
license_name: llama3.3
license_link: LICENSE
language:
- en
- no
pipeline_tag: text-generation
---
# Llama
"""


def read(name, content):
    if isinstance(content, dict | list):
        content = json.dumps(content)
    return FORMATS[name].read_bytes(content if isinstance(content, bytes) else content.encode())


def test_models_dev_states_prices_per_million_and_what_a_model_reads():
    done = read("models_dev", MODELS_DEV)
    assert done.refused == {}
    gpt, oss = done.offers
    assert (gpt.source_key, gpt.name, gpt.provider) == ("openai/gpt-4o", "gpt-4o", "openai")
    assert gpt.prices == {"input": "2.50000000", "output": "10.00000000", "cache_read": "1.25000000"}
    assert gpt.facts["capabilities"] == {
        "function_calling": True,
        "reasoning": False,
        "vision": True,
        "pdf_input": True,
    }
    assert (gpt.facts["context_tokens"], gpt.facts["mode"], gpt.facts["modalities_in"]) == (
        128000,
        "chat",
        ["file", "image", "text"],
    )
    # The same model, under the name that the price map gives it.
    assert (oss.name, oss.provider) == ("gpt-oss-120b", "bedrock")


def test_openrouter_states_prices_per_token_as_text_and_minus_one_for_none():
    gpt, free, auto = read("openrouter", OPENROUTER).offers
    assert (gpt.name, gpt.provider, gpt.facts["title"]) == ("gpt-4o", "openrouter", "GPT-4o")
    assert gpt.prices == {"input": "2.50000000", "output": "10.00000000"}
    assert gpt.facts["capabilities"] == {"function_calling": True, "response_schema": True, "vision": True}
    assert (free.name, free.facts["variant"]) == ("gpt-oss-20b", "free")
    assert auto.prices == {}


def test_cards_state_facts_and_norwegian_is_a_language():
    granite = read("kubeflow", KUBEFLOW).offers[0]
    assert (granite.name, granite.provider, granite.prices) == ("granite-3.1-8b-instruct", "", {})
    assert granite.facts == {
        "maker": "IBM",
        "description": "A model for letters.",
        "mode": "chat",
        "licence": "apache-2.0",
        "licence_url": "https://www.apache.org/licenses/LICENSE-2.0.txt",
        "languages": ["de", "en", "no"],
    }
    llama = FORMATS["huggingface"].read_files({"meta-llama/Llama-3.3-70B-Instruct/README.md": CARD}).offers[0]
    assert (llama.name, llama.facts["licence"], llama.facts["languages"]) == (
        "llama-3.3-70b-instruct",
        "llama3.3",
        ["en", "no"],
    )


def test_a_list_of_an_api_has_names_and_no_prices():
    one, two = read("openai", {"object": "list", "data": [{"id": "qwen3-8b"}, {"id": "bge-m3"}]}).offers
    assert (one.name, one.prices, two.facts["mode"]) == ("qwen3-8b", {}, "embedding")


def zipped(files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return packed.getvalue()


def tarred(files, mode="w"):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for path, text in files.items():
            one = tarfile.TarInfo(path)
            one.size = len(text.encode())
            archive.addfile(one, io.BytesIO(text.encode()))
    return packed.getvalue()


@pytest.mark.parametrize(
    "pack", [zipped, tarred, lambda files: tarred(files, "w:gz")], ids=["zip", "tar", "tgz"]
)
def test_an_archive_of_cards_is_read_and_other_files_in_it_are_not(pack):
    files = {"a/granite.yaml": KUBEFLOW, "../../etc/b.yaml": "models: []", "weights.bin": "x" * 100}
    done = read("kubeflow", pack(files))
    assert [offer.name for offer in done.offers] == ["granite-3.1-8b-instruct"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("models_dev", {"p": {"models": {"m-1": {"cost": {"input": "2"}}}}}, "not a number"),
        ("models_dev", {"p": {"models": {"m-1": {"cost": {"input": -1}}}}}, "negative"),
        ("models_dev", '{"p": {"models": {"m-1": {"cost": {"input": NaN}}}}}', "not a number"),
        ("models_dev", {"p": {"models": {"m-1": {"cost": {"input": 5000}}}}}, "implausible"),
        ("models_dev", {"p": {"models": {"m-1": {"limit": {"context": 0.5}}}}}, "whole number of tokens"),
        ("models_dev", {"p": {"models": {"m-1": {"tool_call": "yes"}}}}, "true or false"),
        ("models_dev", {"p": {"models": {"m-1": []}}}, "not an object"),
        ("models_dev", '{"p": {"models": {"m-1": {}, "m-1": {}}}}', "more than once"),
        ("models_dev", '{"p": {"models": {"m-1": {"cost": 1, "cost": 2}}}}', "more than once"),
        ("openrouter", {"data": [{"id": "a/m-1", "pricing": {"prompt": "NaN"}}]}, "not a number"),
        ("openrouter", {"data": [{"id": "a/m-1", "pricing": {"prompt": "1e99"}}]}, "too large"),
        ("openrouter", {"data": [{"id": "a/m-1"}, {"id": "a/m-1"}]}, "more than once"),
        ("openrouter", {"data": [{"id": "a/m\u202e-1"}]}, "invisible characters"),
        ("openai", {"data": [7]}, "not an object"),
        ("kubeflow", "models: [{name: a/m-1, license: {a: b}}]", "not text"),
        ("kubeflow", "models:\n- name: a/m-1\n  name: a/m-2\n", "more than once"),
        # The billion laughs.
        ("kubeflow", "a: &a [x]\nb: &b [*a, *a]\nmodels: [*b, *b]", "anchors"),
        ("kubeflow", "models: " + "[" * 5000 + "]" * 5000, "nested deeper"),
        ("kubeflow", "models: !!python/object/apply:os.system [ls]", "not an object"),
        ("kubeflow", "models: [}", "not YAML"),
        ("huggingface", "# no front matter", "does not begin with YAML"),
        ("huggingface", "---\nmodel_name: " + "x" * 300 + "\n---\n", "longer than 200"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_reason(name, content, reason):
    done = read(name, content)
    assert done.offers == []
    assert reason in " ".join(done.refused.values())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("models_dev", "[]"),
        ("models_dev", "[" * 100_000),
        ("models_dev", {"openai": 1}),
        ("openrouter", {"data": {}}),
        ("openai", "{"),
        ("kubeflow", b"PK\x03\x04 half"),
        ("huggingface", zipped({"a.bin": "x"})),
    ],
)
def test_a_file_of_another_format_is_refused_whole(name, content):
    with pytest.raises(UnreadableFile):
        read(name, content)


def test_a_small_archive_that_unpacks_to_a_large_one_is_refused_before_it_is_unpacked(monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 2_000_000)
    bomb = gzip.compress(b"0" * 30_000_000)
    with pytest.raises(UnreadableFile, match="more than 2 MB"):
        read("kubeflow", bomb)
    with pytest.raises(UnreadableFile, match="more than 2 MB"):
        read("kubeflow", zipped({"a.yaml": "a: " + "0" * 30_000_000}))
    with pytest.raises(UnreadableText, match="larger than 50 MB"):
        read("litellm", gzip.compress(b"[" * 50_000_002))


def test_comments_and_trailing_commas_are_read_and_words_in_quotes_stay():
    text = '\ufeff{\n// a note\n"m-1": {"litellm_provider": "p", /* "x": 1, */ "source": "https://e.com/a//b",},\n}'
    (offer,) = read("litellm", text).offers
    assert (offer.name, offer.source_url) == ("m-1", "https://e.com/a//b")
    # A comment without an end, and a string without one, take no time.
    for hostile in ('{"a": /*' + "*" * 200_000, '{"' + "a" * 200_000, "{" + "," * 200_000):
        with pytest.raises(UnreadableFile):
            read("litellm", hostile)


@pytest.mark.django_db
def test_sources_add_up_to_one_model_and_each_fact_names_who_states_it(tmp_path):
    run = start_import(json.dumps(MODELS_DEV), file_name="api.json", format="models_dev", by=None)
    accept_entries(run.pk, by=None)
    card = tmp_path / "openai" / "gpt-4o" / "README.md"
    card.parent.mkdir(parents=True)
    card.write_text("---\nlicense: proprietary\nlanguage: en\n---\n")
    call_command("import_catalog", str(tmp_path), format="huggingface", accept=True, quiet=True)
    gpt = CatalogModel.objects.get(name="gpt-4o")
    # A card is no place that offers the model.
    assert (gpt.providers, gpt.offer_count, Offer.objects.filter(model=gpt).count()) == (["openai"], 1, 2)
    assert (gpt.licence, gpt.languages, gpt.context_tokens) == ("proprietary", ["en"], 128000)
    assert {fact: gpt.provenance[fact]["source"] for fact in ("licence", "context_tokens", "family")} == {
        "licence": "huggingface",
        "context_tokens": "models_dev",
        "family": "models_dev",
    }
    card.write_text("---\nlicense: mit\nlanguage: en\n---\n")
    call_command("import_catalog", str(tmp_path), format="huggingface", accept=True, quiet=True)
    # A licence that changes is held back.
    gpt.refresh_from_db()
    assert gpt.licence == "proprietary"

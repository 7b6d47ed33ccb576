"""Pages show a first call at the endpoint that a model's mode has."""

import ast
import html
import re

import pytest
from django.template.loader import render_to_string

from gateway.contract import ENDPOINTS, SERVED_MODES


def shown(component, **fields):
    """How a component shows the first call of a model."""
    usual = {"gateway_url": "https://gateway.example/v1", "gateway_root": "https://gateway.example"}
    return render_to_string(
        f"components/{component}.html", usual | {"model_name": "m", "key_text": ""} | fields
    )


def snippet(page, language):
    return html.unescape(re.search(rf'id="snippet-{language}"[^>]*>(.*?)</pre>', page, re.DOTALL)[1])


@pytest.mark.parametrize(
    ("mode", "path", "call"),
    [
        ("chat", "/v1/chat/completions", "client.chat.completions.create("),
        ("responses", "/v1/responses", "client.responses.create("),
        ("completion", "/v1/completions", "client.completions.create("),
        ("embedding", "/v1/embeddings", "client.embeddings.create("),
        ("rerank", "/v1/rerank", 'client.post("/rerank"'),
        ("moderation", "/v1/moderations", "client.moderations.create("),
        ("audio_transcription", "/v1/audio/transcriptions", "client.audio.transcriptions.create("),
        ("audio_speech", "/v1/audio/speech", "client.audio.speech.create("),
        ("image_generation", "/v1/images/generations", "client.images.generate("),
    ],
)
def test_the_first_call_goes_where_the_model_answers(mode, path, call):
    page = shown("snippets", mode=mode)
    assert f"curl https://gateway.example{path} " in page
    for language in ("python", "node"):
        assert call in snippet(page, language)
        assert len(re.findall(r"client\.[a-z.]+\(", snippet(page, language))) == 1
    ast.parse(snippet(page, "python"))


def test_a_chat_is_shown_for_anthropics_client_too_whose_address_has_no_version():
    python = snippet(shown("snippets", mode="chat"), "anthropic")
    ast.parse(python)
    assert 'base_url="https://gateway.example"' in python
    assert "snippet-anthropic" not in shown("snippets", mode="embedding")


def test_the_secret_that_is_shown_once_stands_in_every_snippet():
    page = shown("snippets", mode="chat", key_text="qm_once")
    assert all("qm_once" in snippet(page, one) for one in ("curl", "python", "node", "anthropic"))
    assert "QM_KEY" not in page


def test_every_mode_that_gateways_serve_has_a_first_call_of_its_own():
    for mode in SERVED_MODES:
        page = shown("snippets", mode=mode)
        path = next(path for path, own in ENDPOINTS.items() if own == mode)
        assert f"curl https://gateway.example{path} " in page

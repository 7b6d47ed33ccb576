"""Pages show a first call at the endpoint that a model's mode has."""

import ast
import html
import re

import pytest
from django.template.loader import render_to_string

from gateway.contract import ENDPOINTS, SERVED_MODES


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
    fields = {"gateway_url": "https://gateway.example/v1", "model_name": "m", "mode": mode, "key_text": ""}
    page = render_to_string("components/snippets.html", fields)
    assert f"curl https://gateway.example{path} " in page
    assert call in page
    assert len(re.findall(r"client\.[a-z.]+\(", page)) == 1
    python = html.unescape(re.search(r'id="snippet-python"[^>]*>(.*?)</pre>', page, re.DOTALL)[1])
    ast.parse(python)


def test_every_mode_that_gateways_serve_has_a_first_call_of_its_own():
    fields = {"gateway_url": "https://gateway.example/v1", "model_name": "m", "key_text": ""}
    for mode in SERVED_MODES:
        page = render_to_string("components/snippets.html", {**fields, "mode": mode})
        path = next(path for path, own in ENDPOINTS.items() if own == mode)
        assert f"curl https://gateway.example{path} " in page

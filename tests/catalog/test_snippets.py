"""Pages show a first call at the endpoint that a model's mode has."""

import pytest
from django.template.loader import render_to_string


@pytest.mark.parametrize(
    ("mode", "path", "call"),
    [
        ("chat", "/v1/chat/completions", "client.chat.completions.create("),
        ("responses", "/v1/responses", "client.responses.create("),
        ("completion", "/v1/completions", "client.completions.create("),
        ("embedding", "/v1/embeddings", "client.embeddings.create("),
    ],
)
def test_the_first_call_goes_where_the_model_answers(mode, path, call):
    fields = {"gateway_url": "https://gateway.example/v1", "model_name": "m", "mode": mode, "key_text": ""}
    page = render_to_string("components/snippets.html", fields)
    assert f"curl https://gateway.example{path} " in page
    assert call in page
    assert page.count(".create(") == 1

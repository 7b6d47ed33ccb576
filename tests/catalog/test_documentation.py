"""Operators write the documentation of a model in Markdown; readers see it clean, with its source."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from audit.models import AuditEntry
from catalog.actions import curate_model
from catalog.actions.documents import document_model
from catalog.models import ModelDocument
from core.errors import Conflict
from core.markdown import LONGEST

PAGE = "/t/lab/models/glm-4.6/?tab=documentation"
API = "/api/v1/models/glm-4.6/documentation/"


def test_readers_see_it_with_its_source(client, model, operator, developer):
    client.force_login(developer)
    assert "tab=documentation" not in client.get("/t/lab/models/glm-4.6/").content.decode()
    assert client.get(PAGE).status_code == 200
    document_model(model.pk, text="# Use\r\n\r\n<script>x</script>\n\n- a\n  - b", by=operator)
    page = client.get(PAGE).content.decode()
    assert "<h3>Use</h3>" in page
    assert "&lt;script&gt;x" in page
    assert "operator" in page
    assert "<li>a\n<ul>" in page
    assert "tab=documentation" in client.get("/t/lab/models/glm-4.6/").content.decode()
    assert client.get(API).json()["html"].startswith("<h3>Use</h3>")
    assert client.put(API, {"text": "mine"}, "application/json").status_code == 403
    entry = AuditEntry.objects.across_tenants().get(verb="catalog_model.documented")
    assert entry.changes == {"characters": [0, 36]}
    curate_model(model.pk, values={"visibility": "hidden"}, may_touch_tenants=True, by=operator)
    assert client.get(API).status_code == 404


def test_a_newer_text_is_not_overwritten(client, model, operator):
    first = document_model(model.pk, text="one", by=operator)
    document_model(model.pk, text="two", seen=first.digest, by=operator)
    with pytest.raises(Conflict, match="meanwhile"):
        document_model(model.pk, text="three", seen=first.digest, by=operator)
    client.force_login(operator)
    answer = client.put(API, {"text": "three", "seen": first.digest}, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "edited_since")
    answer = client.put(API, {"text": "three", "seen": client.get(API).json()["digest"]}, "application/json")
    assert (answer.status_code, answer.json()["source"]) == (200, "operator")
    assert client.put(API, {"text": ""}, "application/json").json()["at"] is None
    assert not ModelDocument.objects.exists()


@pytest.mark.parametrize(
    "text", ["x" * (LONGEST + 1), "[" * 10**6, "a\x00b", "a\u202eb", "a\ud800b"], ids=repr
)
def test_what_cannot_be_read_is_refused(model, operator, text):
    with pytest.raises(ValidationError) as caught:
        document_model(model.pk, text=text, by=operator)
    assert set(caught.value.message_dict) == {"text"}


def test_operators_write_it_on_a_page_with_a_preview(client, model, operator):
    client.force_login(operator)
    address = reverse("admin:catalog_catalogmodel_documentation", args=[model.pk])
    assert client.get(address).status_code == 200
    page = client.post(address, {"text": "# Hi", "seen": "", "preview": "1"})
    assert page.status_code == 200
    assert "<h3>Hi</h3>" in page.content.decode()
    assert not ModelDocument.objects.exists()
    assert client.post(address, {"text": "# Hi", "seen": ""}).status_code == 302
    page = client.post(address, {"text": "# Newer", "seen": ""})
    assert page.status_code == 409
    assert "# Newer" in page.content.decode()
    assert client.post(address, {"text": "x" * (LONGEST + 1), "seen": ""}).status_code == 422
    assert ModelDocument.objects.get().text == "# Hi"

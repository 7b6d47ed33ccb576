"""The HTTP API describes itself, completely and without a warning."""

import pytest
from django.core.management import call_command

pytestmark = pytest.mark.django_db


def test_the_schema_is_valid_and_has_no_warnings(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yml"))
    assert "/api/v1/access-requests/" in (tmp_path / "schema.yml").read_text()


def test_the_readable_docs_run_under_the_strict_policy(client, developer):
    client.force_login(developer)
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    assert "<script>" not in page.content.decode(), "an inline script would be blocked"

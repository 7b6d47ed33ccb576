"""Pages are sent compressed, and nothing that shows a secret is."""

import gzip

import pytest
from django.test import Client

from tenants.actions import prepare_api_key

pytestmark = pytest.mark.django_db


def a_browser_of(person):
    browser = Client(headers={"Accept-Encoding": "gzip, deflate, br"})
    browser.force_login(person)
    return browser


def test_a_page_is_compressed_for_who_accepts_it(client, owner):
    client.force_login(owner)
    plain = client.get("/t/lab/models/")
    assert not plain.has_header("Content-Encoding")
    packed = a_browser_of(owner).get("/t/lab/models/")
    assert packed["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed["Vary"]
    assert int(packed["Content-Length"]) == len(packed.content) < len(plain.content) / 2
    assert b"</html>" in gzip.decompress(packed.content)


def test_pages_of_staff_are_compressed_too(operator):
    assert a_browser_of(operator).get("/admin/catalog/track/")["Content-Encoding"] == "gzip"


def test_the_same_page_weighs_something_else_each_time(owner):
    browser = a_browser_of(owner)
    assert len({len(browser.get("/t/lab/models/").content) for _ in range(8)}) > 1


def test_a_key_shown_once_is_not_compressed(project, developer):
    key = prepare_api_key(project, name="letters", models=["glm-4.6"], created_for=developer, expires_at=None)
    shown = a_browser_of(developer).post(f"/t/lab/keys/{key.pk}/claim/")
    assert shown.status_code == 200
    assert not shown.has_header("Content-Encoding")
    assert b"qm_" in shown.content


def test_the_secret_of_an_app_is_not_compressed(operator):
    page = a_browser_of(operator).get("/account/second-factor/set-up/")
    assert page.status_code == 200
    assert not page.has_header("Content-Encoding")
    assert "no-store" in page["Cache-Control"]


def test_files_and_the_api_stay_as_they_are(owner):
    answer = a_browser_of(owner).get("/api/v1/models/")
    assert answer.status_code == 200
    assert not answer.has_header("Content-Encoding")

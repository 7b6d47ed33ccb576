"""An error keeps the shell of the site where it occurred, if that can be rendered."""

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory

from tenants.views import errors
from tests.factories import member_of

MENU = 'id="side"'


def text_of(client, person, path, status):
    client.force_login(person)
    answer = client.get(path)
    assert answer.status_code == status
    return answer.content.decode()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/t/lab/models/no-such-model/", 404),
        ("/t/lab/no/such/page/", 404),
        ("/t/lab/settings/", 403),
        ("/t/lab/cost/?month=x", 400),
    ],
)
def test_a_member_keeps_the_menu_of_the_tenant(client, lab, path, status):
    person = member_of(lab, "finance" if "cost" in path else "developer")
    text = text_of(client, person, path, status)
    assert MENU in text
    assert 'href="/t/lab/models/"' in text
    assert 'id="error-block"' in text


def test_a_conflict_keeps_it_too(client, lab, owner):
    lab.status = "suspended"
    lab.save()
    client.force_login(owner)
    answer = client.post("/t/lab/projects/new/", {"name": "Fresh", "slug": "fresh"})
    assert answer.status_code == 409
    assert MENU in answer.content.decode()


def test_staff_keep_the_menu_of_the_staff_site(client, operator):
    text = text_of(client, operator, "/admin/no/such/page/", 404)
    assert MENU in text
    assert "/admin/tenants/tenant/" in text


def test_staff_read_nothing_of_a_tenant_in_an_error(client, lab, operator):
    """Reading another's tenant is recorded, and an error is no reading."""
    text = text_of(client, operator, "/t/lab/no/such/page/", 404)
    assert "Lab" not in text
    assert MENU not in text


def test_staff_without_their_second_factor_get_no_menu(client, lab, operator, settings):
    """An address without a view is answered although the gate asks for the factor."""
    settings.STAFF_SECOND_FACTOR = "required"
    text = text_of(client, operator, "/t/lab/no/such/page/", 404)
    assert MENU not in text
    assert "Lab" not in text


def test_a_stranger_gets_no_menu_and_learns_nothing(client, lab, stranger):
    foreign, missing = (text_of(client, stranger, f"/t/{slug}/keys/", 404) for slug in ("lab", "nowhere"))
    assert MENU not in foreign
    assert MENU not in missing
    assert "Lab" not in foreign


def test_an_error_in_a_part_of_a_page_is_the_error_alone(client, lab, developer):
    client.force_login(developer)
    answer = client.get("/t/lab/models/no-such-model/", headers={"HX-Request": "true"})
    assert 'id="error-block"' in answer.content.decode()
    assert MENU not in answer.content.decode()


def test_a_failed_page_keeps_the_menu(lab, developer, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr("tenants.views.settings.ProjectList.get_context_data", broken)
    text = text_of(Client(raise_request_exception=False), developer, "/t/lab/projects/", 500)
    assert MENU in text


def test_without_a_menu_the_page_is_there_all_the_same(lab, developer, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken")

    monkeypatch.setattr("tenants.views.errors.tenant_context", broken)
    monkeypatch.setattr("tenants.views.settings.ProjectList.get_context_data", broken)
    text = text_of(Client(raise_request_exception=False), developer, "/t/lab/projects/", 500)
    assert MENU not in text
    assert "Something went wrong on our side" in text


def test_a_database_that_failed_is_not_asked_for_a_menu(
    lab, developer, django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr("tenants.views.header._header", lambda *args: None)
    request = RequestFactory().get("/t/lab/projects/")
    request.user = developer
    with django_assert_num_queries(0):
        try:
            raise OperationalError("away")
        except OperationalError:
            answer = errors.server_error(request)
    assert answer.status_code == 500
    assert MENU not in answer.content.decode()

"""Everything that opens over a page is a whole page in a tab of its own or without JavaScript, errors included."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.urls import NoReverseMatch, reverse
from django.utils.html import escape

from accounts.admin.dialogs import SUBMITTED
from accounts.models import User
from tenants.actions import revoke_api_key
from tests.accounts.test_admin_dialogs import dialogs
from tests.databases import shared_rows
from tests.factories import ApiKeyFactory, UserFactory
from tests.isolation.sweep import ACCOUNT, ADMIN, HTMX, PORTAL, Cast, address, ask, text_of, undone

pytestmark = pytest.mark.django_db
# Addresses that answer with a part only, and why nobody opens one.
PARTS = {
    "suggestions": "the list below a field; without JavaScript the field stands alone",
    "tenant-suggestions": "the same, of tenants",
    "request-preview": "answers a POST only; the form shows the same once it is sent",
}


@pytest.fixture(scope="module")
def cast(django_db_setup, django_db_blocker):
    yield from shared_rows(django_db_blocker, Cast)


@pytest.fixture
def full_lab(db, cast):
    return cast.full_lab


@pytest.fixture
def superuser(db):
    """Somebody to whom every dialog is open; some are nobody's by role."""
    return UserFactory(is_superuser=True, is_staff=True)


def address_of(method, full_lab):
    """The address of a dialog, about the lab's row if it is about one."""
    [of] = [of for of in admin.site._registry.values() if getattr(type(of), method.__name__, None) is method]
    name = f"admin:{of.opts.app_label}_{of.opts.model_name}_{method.__name__}"
    try:
        return reverse(name), of
    except NoReverseMatch:
        return reverse(name, args=[full_lab.row(of.opts.label_lower).pk]), of


def assert_whole_page(answer, dialog, of):
    """In the shell, with a heading, the form and a way back to the list."""
    page = text_of(answer)
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert re.search(rf"<h[12][^>]*>\s*{re.escape(str(escape(dialog.title)))}\s*</h[12]>", page)
    start = re.search(r'<form method="post"\s+novalidate\s+class="qm-page-form', page).start()
    form = page[start:].partition("</form>")[0]
    assert "hx-" not in form, "without JavaScript nothing of htmx's is needed"
    assert SUBMITTED in form
    back = re.search(r'href="([^"]+)">Cancel<', form)[1]
    assert back.startswith(f"/admin/{of.opts.app_label}/{of.opts.model_name}/")
    assert f'href="/admin/{of.opts.app_label}/{of.opts.model_name}/"' in page, "the trail leads to the list"
    return form


@pytest.mark.parametrize("method", list(dialogs()))
def test_a_dialog_is_a_page_of_its_own_even_after_a_wrong_answer(client, superuser, full_lab, method):
    client.force_login(superuser)
    path, of = address_of(method, full_lab)
    whole, part = client.get(path), client.get(path, headers=HTMX)
    assert (whole.status_code, part.status_code) == (200, 200)
    assert "HX-Request" in whole["Vary"]
    assert "HX-Request" in part["Vary"]
    assert_whole_page(whole, method.dialog, of)
    assert "<html" not in text_of(part)
    assert 'id="dialog"' in text_of(part)
    with undone():
        # Nothing is done without the field SUBMITTED, which each form has.
        wrong = client.post(path, {"reason": ""})
    assert wrong.status_code == 422
    assert_whole_page(wrong, method.dialog, of)
    fields = method.dialog.form.base_fields.items()
    if [name for name, field in fields if field.required and field.initial is None and name != SUBMITTED]:
        assert re.search("Fill in this field|Choose one|Choose at least one", text_of(wrong))


@pytest.fixture
def key(full_lab):
    return ApiKeyFactory(tenant=full_lab.tenant, project=full_lab.project)


def test_what_is_done_leads_back_and_is_said_there(client, operator, key):
    client.force_login(operator)
    answer = client.post(
        f"/admin/tenants/apikey/{key.pk}/revoke/", {SUBMITTED: "True", "reason": "Lost."}, follow=True
    )
    assert answer.redirect_chain == [(f"/admin/tenants/apikey/{key.pk}/change/", 302)]
    assert f"{key} is revoked." in text_of(answer)


def test_a_conflict_stands_on_the_page_above_what_was_typed(client, operator, key):
    revoke_api_key(key.pk, by=operator, reason="Lost.")
    client.force_login(operator)
    answer = client.post(
        f"/admin/tenants/apikey/{key.pk}/revoke/", {SUBMITTED: "True", "reason": "Lost twice."}
    )
    page = text_of(answer)
    assert answer.status_code == 409
    assert 'role="alert"' in page
    assert 'value="Lost twice."' in page


def test_a_token_is_shown_once_on_a_page_with_a_way_back(client, operator):
    client.force_login(operator)
    sent = {SUBMITTED: "True", "name": "Directory", "days": "30"}
    answer = client.post("/admin/directory/scimtoken/issue/", sent)
    page = text_of(answer)
    assert answer.status_code == 200
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "no-store" in answer["Cache-Control"]
    assert page.count("data-unsaved-secret") == 1
    assert 'href="/admin/directory/scimtoken/"' in page
    assert SUBMITTED not in page, "a second press would issue a second token"


def test_a_page_about_a_row_that_is_not_there_is_404(client, operator, key):
    client.force_login(operator)
    nobody = User(pk=key.pk).pk
    assert client.get(f"/admin/accounts/user/{nobody}/deactivate/").status_code == 404


@pytest.mark.timeout(900)
def test_no_address_answers_a_browser_with_a_part_of_a_page(client, superuser, cast, full_lab):
    """Of the portal, the account and the staff site: what htmx gets as a part has a page of its own."""
    bare, parts = [], 0
    for person, routes in ((cast.owner, [*PORTAL, *ACCOUNT]), (superuser, ADMIN)):
        for route in routes:
            client.force_login(person)
            url = address(route, full_lab)
            with undone():
                whole, part = ask(client, "get", url), ask(client, "get", url, headers=HTMX)
            if whole.status_code != 200 or not whole.headers["Content-Type"].startswith("text/html"):
                continue
            parts += "<html" not in text_of(part)
            page = text_of(whole)
            if not ("<html" in page and re.search("<h[12]", page)) and route.name not in PARTS:
                bare.append(str(route))
    assert bare == []
    assert parts > 40, "the search for parts finds none any more"

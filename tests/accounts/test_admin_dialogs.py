"""A dialog of the admin asks before it acts, hands its answers to the action, and says what came of it."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from unfold.enums import ActionVariant

from accounts.actions import make_staff
from accounts.admin.dialogs import SUBMITTED, Dialog, DialogForm
from accounts.models import StaffRoleAssignment
from core.secrets import new_key_secret
from directory.actions.scim_tokens import issue_scim_token, revoke_scim_token
from tenants.actions import revoke_api_key, suspend_tenant
from tests.factories import ApiKeyFactory, ProviderFactory, UserFactory, allow_loopback, staff
from tests.secret_scanner import remember

SENT = {SUBMITTED: "True"}


@pytest.fixture
def client(client):
    """A browser that asks by htmx; tests/accounts/test_dialogs_in_a_tab_of_their_own.py asks without."""
    client.defaults["HTTP_HX_REQUEST"] = "true"
    return client


def dialogs():
    """Every button of the admin that opens a dialog, with the admin's class and the button's name."""
    for of in admin.site._registry.values():
        names_of = getattr(of, "_extract_action_names", list)
        for name in names_of([*getattr(of, "actions_list", ()), *getattr(of, "actions_detail", ())]):
            method = getattr(type(of), name)
            if hasattr(method, "dialog"):
                yield pytest.param(method, id=f"{type(of).__name__}.{name}")


def said(answer):
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_there_are_dialogs_to_ask():
    assert len(list(dialogs())) >= 29


@pytest.mark.parametrize("method", list(dialogs()))
def test_a_dialog_asks_for_what_its_action_takes(method):
    dialog = method.dialog
    assert isinstance(dialog, Dialog)
    assert issubclass(dialog.form, DialogForm)
    taken = inspect.signature(dialog.call).parameters
    assert "by" in taken
    if dialog.form.answers is DialogForm.answers:
        assert set(dialog.form.base_fields) - {SUBMITTED} <= set(taken)


@pytest.mark.parametrize("of", admin.site._registry.values(), ids=lambda of: type(of).__name__)
def test_the_head_of_a_page_has_few_buttons_and_no_dangerous_one_beside_a_menu(of):
    for head in (getattr(of, "actions_list", ()), getattr(of, "actions_detail", ())):
        buttons = [getattr(type(of), name) for name in head if isinstance(name, str)]
        has_menu = len(buttons) < len(head)
        assert len(head) <= 5, "Put what is not done every day into more(…)."
        dangerous = [button.__name__ for button in buttons if button.variant == ActionVariant.DANGER]
        assert not (has_menu and dangerous), f"Put {dangerous} into the menu."


@pytest.fixture
def address(lab, project):
    key = ApiKeyFactory(tenant=lab, project=project)
    return key, f"/admin/tenants/apikey/{key.pk}/revoke/"


def test_opening_a_dialog_does_nothing_and_shows_what_it_would(client, operator, address):
    key, path = address
    client.force_login(operator)
    page = client.get(path).content.decode()
    assert "Revoke this key?" in page
    assert "This cannot be undone." in page
    assert 'name="reason"' in page
    key.refresh_from_db()
    assert key.state == "active"


def test_without_a_reason_the_dialog_comes_back(client, operator, address):
    key, path = address
    client.force_login(operator)
    assert "Fill in this field." in client.post(path, SENT).content.decode()
    key.refresh_from_db()
    assert key.state == "active"


def test_what_is_done_is_said_on_the_page_of_the_row(client, operator, address):
    key, path = address
    client.force_login(operator)
    answer = client.post(path, SENT | {"reason": "Lost."})
    assert answer.headers["HX-Redirect"] == f"/admin/tenants/apikey/{key.pk}/change/"
    assert said(answer) == [f"{key} is revoked."]


def test_a_conflict_is_said_there_too(client, operator, address):
    key, path = address
    revoke_api_key(key.pk, by=operator, reason="Lost.")
    client.force_login(operator)
    answer = client.post(path, SENT | {"reason": "Lost."})
    assert answer.status_code == 409
    assert answer.headers["HX-Redirect"] == f"/admin/tenants/apikey/{key.pk}/change/"
    assert len(said(answer)) == 1


def test_a_denial_is_said_there_too(client, operator):
    own = StaffRoleAssignment.objects.get(user=operator)
    make_staff(UserFactory(), "operator", by=None)
    client.force_login(operator)
    answer = client.post(f"/admin/accounts/staffroleassignment/{own.pk}/end/", SENT)
    assert answer.status_code == 403
    assert answer.headers["HX-Redirect"] == f"/admin/accounts/staffroleassignment/{own.pk}/change/"
    assert len(said(answer)) == 1
    assert StaffRoleAssignment.objects.filter(pk=own.pk).exists()


def tag(page, name):
    """The tag of the field `name` in a dialog's part that htmx replaces."""
    return re.search(rf'<input[^>]*name="{name}"[^>]*>', page.partition('id="dialog-form"')[2])[0]


def test_what_the_action_finds_wrong_stands_beside_its_field_and_what_was_typed_stays(client, operator):
    typed = {
        "name": "Video-Seconds",
        "label": "Seconds of video",
        "unit": "second",
        "scale": "1000",
        "price_for": "60",
    }
    client.force_login(operator)
    answer = client.post("/admin/billing/usagekind/add-kind/", SENT | typed)
    page = answer.content.decode()
    assert (answer.status_code, said(answer)) == (200, [])
    assert "HX-Redirect" not in answer.headers
    for name in ("name", "label", "scale", "price_for"):
        assert f'value="{typed[name]}"' in tag(page, name)
    assert re.search(r'<option value="second"\s+selected>', page)
    assert page.count('class="errors ') == 1
    wrong = page.partition('class="errors ')[2]
    assert wrong.index('name="name"') < wrong.index("lower-case letters") < wrong.index('name="label"')


def test_what_has_no_field_in_the_dialog_stands_above_it(client, operator):
    allow_loopback()
    client.force_login(operator)
    # The fault is about the address, which is no field of this dialog.
    provider = ProviderFactory(base_url="http://127.0.0.1:9/v1")
    answers = {"credential_kind": "stored", "credential": "key-of-1234", "overlap_hours": "7", "test": "yes"}
    answer = client.post(f"/admin/deployments/provider/{provider.pk}/rotate/", SENT | answers)
    page = answer.content.decode()
    assert (answer.status_code, said(answer)) == (200, [])
    assert 'value="7"' in tag(page, "overlap_hours")
    assert "key-of-1234" not in page
    shown = page.partition('id="dialog-form"')[2]
    assert shown.index("Port 9 is not used for APIs.") < shown.index('name="credential_kind"')


def test_a_secret_that_an_action_refuses_does_not_come_back(client, lab, operator):
    client.force_login(operator)
    secret = new_key_secret()
    remember(secret)
    answer = client.post(f"/admin/tenants/tenant/{lab.pk}/suspend/", SENT | {"reason": f"They lost {secret}"})
    page = answer.content.decode()
    assert "which must stay secret" in page
    assert "They lost qm_" in page
    assert secret not in page


def test_what_ends_a_row_ends_on_the_list(client, operator):
    make_staff(other := UserFactory(), "operator", by=None)
    row = StaffRoleAssignment.objects.get(user=other)
    client.force_login(operator)
    answer = client.post(f"/admin/accounts/staffroleassignment/{row.pk}/end/", SENT)
    assert answer.headers["HX-Redirect"] == "/admin/accounts/staffroleassignment/"
    assert said(answer) == [f"{other} no longer has this role."]


@pytest.fixture
def buttons(client, operator):
    """The ends of the addresses to which the buttons of a row's page lead."""

    def shown(row):
        client.force_login(operator)
        start = f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/"
        page = client.get(f"{start}change/").content.decode()
        return set(re.findall(rf"{start}([\w-]+)/", page)) - {"change", "history", "delete"}

    return shown


def test_a_button_is_shown_where_its_action_is_possible(buttons, lab, operator):
    assert buttons(lab) >= {"settings", "suspend", "emergency-access"}
    assert "resume" not in buttons(lab)
    suspend_tenant(lab.pk, by=operator, reason="Unpaid")
    assert buttons(lab) >= {"resume", "emergency-access"}
    assert not buttons(lab) & {"settings", "suspend"}


def test_a_button_is_hidden_from_those_to_whom_its_action_is_barred(buttons, operator):
    own, _secret = issue_scim_token("Directory", life=timedelta(days=9), by=operator)
    assert "confirm" not in buttons(own)
    others, _secret = issue_scim_token("Directory", life=timedelta(days=9), by=staff("operator"))
    assert {"confirm", "revoke"} <= buttons(others)
    revoke_scim_token(others.pk, by=operator)
    assert not buttons(others) & {"confirm", "renew", "revoke"}


def test_nobody_is_offered_to_deactivate_themselves(buttons, operator):
    assert "deactivate" not in buttons(operator)
    assert "deactivate" in buttons(UserFactory())
    assert "reactivate" not in buttons(UserFactory())

"""docs/roles.md tried out: every action, as every role, here and in another tenant, through every entry point.

The cases are generated from the page. What is done, and through which entry points, stands in tests/actions/.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import defaultdict
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.admin import site
from django.contrib.auth.models import Permission
from django.urls import resolve
from django.utils.module_loading import import_string

from accounts.declared import Action as Declared
from accounts.permissions import WORDS
from accounts.roles import STAFF_PERMISSIONS, StaffRole
from tenants.roles import ROLE_PERMISSIONS, Role
from tests.actions import ACTIONS
from tests.databases import shared_rows
from tests.role_matrix import PAGE, REFUSED, World, answer_of, read_matrix
from tests.routes import all_routes

MATRIX = read_matrix(PAGE.read_text())
WHERE_TO_ADD = "Add it to tests/actions/ and a row to docs/roles.md."


def cases():
    """(action, where the actor belongs, role, entry point, the documented answers), of every action."""
    for action in ACTIONS.values():
        member, staff = MATRIX.members.get(action.name), MATRIX.staff.get(action.name)
        for entry_point in action.entry_points:
            for role in Role.values:
                yield (
                    action,
                    "here",
                    role,
                    entry_point,
                    here(member, role, entry_point, entry_point in action.unseen_at),
                )
                yield action, "elsewhere", role, entry_point, elsewhere(member, entry_point)
            for role in StaffRole.values:
                may = staff is not None and entry_point in staff.entry_points and staff.may[role]
                yield action, "staff", role, entry_point, {"done"} if may else REFUSED - {"sign in"}


def here(row, role, entry_point, is_unseen):
    if entry_point == "admin":
        return {"sign in"}
    if row is None or entry_point not in row.entry_points:
        return {"403", "404"}  # an action of staff
    return {"done"} if row.may[role] else {"404" if is_unseen else "403"}


def elsewhere(row, entry_point):
    if entry_point == "admin":
        return {"sign in"}
    if row is None or entry_point == "shell":
        # The shell is handed the row, so there is nothing to find.
        return {"403", "404"}
    return {"404"}


CASES = list(cases())


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    yield from shared_rows(django_db_blocker, World)


@pytest.mark.parametrize(
    ("action", "where", "role", "entry_point", "documented"),
    CASES,
    ids=[f"{action.name}-{where}-{role}-{entry_point}" for action, where, role, entry_point, _ in CASES],
)
def test_every_action_gets_the_documented_answer(world, db, action, where, role, entry_point, documented):
    assert answer_of(action, entry_point, world, world.crowd(where)[role]) in documented


@pytest.mark.parametrize("table", ["members", "staff"])
def test_every_row_of_the_page_has_an_action_with_the_same_entry_points(table):
    for name, row in getattr(MATRIX, table).items():
        assert name in ACTIONS, (
            f"docs/roles.md tells of {name!r}, which no action in tests/actions/ stands for."
        )
        entry_points = set(ACTIONS[name].entry_points)
        if table == "members":
            # For staff, whose table says so.
            entry_points -= {"admin"}
        assert set(row.entry_points) <= set(ACTIONS[name].entry_points), name
        assert entry_points <= set(row.entry_points) or table == "staff", name


def test_every_action_has_a_row_with_all_its_entry_points():
    for name, action in ACTIONS.items():
        rows = [row for row in (MATRIX.members.get(name), MATRIX.staff.get(name)) if row is not None]
        assert rows, f"The page has no row for {name!r}. {WHERE_TO_ADD}"
        assert {entry_point for row in rows for entry_point in row.entry_points} == set(
            action.entry_points
        ), name


def test_the_page_names_every_role():
    assert all(list(row.may) == Role.values for row in MATRIX.members.values())
    assert all(list(row.may) == StaffRole.values for row in MATRIX.staff.values())


def modules():
    """Every module of ours that may hold actions."""
    for app in settings.OUR_APPS:
        for found in pkgutil.walk_packages([app], prefix=f"{app}."):
            if not re.search(r"\.(migrations|management|proxy|cluster|litellm_plugin)\b", found.name):
                yield importlib.import_module(found.name)


DECLARED = {it for module in modules() for it in vars(module).values() if isinstance(it, Declared)}


def test_every_declared_action_has_a_row_in_the_matrix():
    known = {import_string(action.action) for action in ACTIONS.values() if action.action}
    assert len(DECLARED) > 50, "the search for actions finds none any more"
    assert known <= DECLARED, (
        f"{sorted(map(repr, known - DECLARED))}: declare what it asks (accounts/declared.py)."
    )
    missing = DECLARED - known
    assert not missing, f"{sorted(map(repr, missing))}: who may do this? {WHERE_TO_ADD}"


# Permissions that an action asks besides the declared one, by a rule of its own.
ASKED_BY_RULES = {
    "tenants.manage_owners": "who decides about owners (tenants.actions.members.may_give)",
    "tenants.manage_members": "whose request one may withdraw, if it is not one's own",
    "tenants.create_tenant": "who raises the data class of a tenant",
}


# Permissions that no role holds: django-guardian gives them on one object.
ONLY_ON_OBJECTS = {
    "catalog.decide_late_review": "who decides in a review scope once a review is escalated, beside a reviewer's role",
}


def test_the_page_names_the_permissions_that_actions_declare():
    told = defaultdict(set)
    for name, action in ACTIONS.items():
        if action.action:
            rows = [row for row in (MATRIX.members.get(name), MATRIX.staff.get(name)) if row]
            told[import_string(action.action)] |= {row.permission for row in rows} - {""}
    for action, permissions in told.items():
        declared = set(action.permissions)
        assert declared <= permissions, (action, declared - permissions)
        assert permissions <= declared | set(ASKED_BY_RULES), (action, permissions - declared)


# Routes that change something of nobody but who asks, and why they are no action of a role.
OF_ONESELF = {
    "api-token-list": "a token of one's own",
    "request-preview": "says what a request would mean and changes nothing",
    "route-preview": "says what a change of a route would mean and changes nothing",
    "route-preview-degrading": "says for whom a smaller model would answer and changes nothing",
    "route-preview-fallbacks": "says what a change of its fallbacks would mean and changes nothing",
    "route-preview-handling": "says what a change of its handling would mean and changes nothing",
}


def routes_that_change_something():
    """Names of the portal's and the API's routes that take more than a question."""
    for route in all_routes():
        takes_a_post = route.is_portal and hasattr(route.view, "post")
        if takes_a_post or (route.is_api and _takes_more_than_get(route)):
            yield route.name


def _takes_more_than_get(route):
    handlers = getattr(route.callback, "actions", None) or vars(route.view)
    return bool({"post", "put", "patch", "delete"} & set(handlers))


def names_of_entry_points():
    """The routes behind the entry points of pages and the API, by name."""
    for action in ACTIONS.values():
        for entry_point in (action.page, action.api):
            if entry_point is not None:
                path = re.sub(r"{w\.tenant\.slug}", "lab", entry_point.request.partition(" ")[2])
                yield resolve(re.sub(r"{[^}]*}", "01a1f8c1-04c4-755d-acc1-060277ee4021", path)).url_name


def test_every_route_that_changes_something_is_an_entry_point_of_an_action():
    routes = set(routes_that_change_something())
    assert len(routes) > 30, "the search for routes finds none any more"
    missing = routes - set(names_of_entry_points()) - set(OF_ONESELF)
    assert not missing, f"{sorted(missing)}: which action is behind this entry point? {WHERE_TO_ADD}"
    assert set(OF_ONESELF) <= routes, "Take routes that are gone out of OF_ONESELF."


def permissions_in_code():
    """Every permission that code asks for, by name."""
    asked = set()
    for app in settings.OUR_APPS:
        for path in Path(app).rglob("*.py"):
            if "migrations" not in path.parts and path.name not in ("roles.py", "apps.py", "permissions.py"):
                asked |= set(
                    re.findall(rf"[\"']((?:{'|'.join(settings.OUR_APPS)})\.[a-z_]+)[\"']", path.read_text())
                )
    return asked


def test_every_permission_that_code_asks_for_is_on_the_page_and_is_somebodys(db):
    permissions = Permission.objects.select_related("content_type")
    declared = {f"{p.content_type.app_label}.{p.codename}" for p in permissions}
    ours = {
        f"{model._meta.app_label}.{codename}"
        for model in apps.get_models()
        if model._meta.app_label in settings.OUR_APPS
        for codename, _ in model._meta.permissions
    }
    given = {f"tenants.{action}" for actions in ROLE_PERMISSIONS.values() for action in actions}
    given = given.union(*STAFF_PERMISSIONS.values())
    told = {row.permission for row in [*MATRIX.members.values(), *MATRIX.staff.values()]} - {""}

    assert set(ONLY_ON_OBJECTS) <= ours, f"{sorted(set(ONLY_ON_OBJECTS) - ours)}: there is no such permission"
    ours -= set(ONLY_ON_OBJECTS)
    asked = permissions_in_code() & ours
    assert asked <= told, f"{sorted(asked - told)}: an action asks for it. {WHERE_TO_ADD}"
    assert asked <= set(WORDS), f"{sorted(asked - set(WORDS))}: say it in WORDS of accounts/permissions.py"
    assert told <= ours, f"{sorted(told - ours)}: there is no such permission"
    assert ours <= given, (
        f"{sorted(ours - given)}: no role holds it, see tenants/roles.py and accounts/roles.py"
    )
    assert given <= declared, f"{sorted(given - declared)}: no model declares it"


@pytest.mark.parametrize("table", ["members", "staff"])
def test_the_page_agrees_with_the_tables_of_roles(table):
    """Who is said to may, holds the permission; the action itself is tried above."""
    for name, row in getattr(MATRIX, table).items():
        for role, may in row.may.items():
            if may and row.permission:
                held = STAFF_PERMISSIONS[role] if table == "staff" else ROLE_PERMISSIONS[role]
                wanted = row.permission if table == "staff" else row.permission.removeprefix("tenants.")
                assert wanted in held, f"{name}: {role} holds no {row.permission}"


LISTS = [model for model in site._registry if model._meta.app_label in settings.OUR_APPS]


def test_the_page_tells_who_sees_which_rows_in_the_admin():
    assert set(MATRIX.lists) == {str(model._meta.verbose_name_plural) for model in LISTS}


@pytest.mark.parametrize("role", StaffRole.values)
@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.model_name)
def test_staff_see_the_documented_rows(world, db, client, model, role):
    client.force_login(world.staff[role])
    answer = client.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")
    may = MATRIX.lists[str(model._meta.verbose_name_plural)].may[role]
    assert answer.status_code == (200 if may else 403)

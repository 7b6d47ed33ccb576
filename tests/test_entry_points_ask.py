"""Whoever offers an action asks what it declares (accounts/declared.py), and says it nowhere else.

The entry points are those of the role matrix, which has every route that changes something.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.admin import site

import audit
from accounts.declared import Action as Declared
from accounts.models import User
from tests.actions import ACTIONS
from tests.role_matrix import Shell, answer_of
from tests.tenants.test_role_matrix import CASES, DECLARED, world  # noqa: F401

ENTRY_POINTS = re.compile(r"/((\w+_)?(views|admin|pages|forms?)|admin_\w+|api|serializers)(/|\.py$)")
# The action is declared by an app above, and this only narrows a list that its form offers.
SAID_BELOW = {"tenants/views/suggestions.py": {"tenants.request_access"}}


def _one_who_may():
    """For every action and entry point one of those who may: a member, or else somebody of the staff."""
    found = {}
    for action, where, role, entry_point, documented in CASES:
        if (
            action.action
            and documented == {"done"}
            and not isinstance(action.entry_points[entry_point], Shell)
        ):
            found.setdefault((action.name, entry_point), (where, role))
    return sorted((*key, *who) for key, who in found.items())


class Log:
    """What was asked and done, in order, while one entry point was tried."""

    def __init__(self, monkeypatch):
        self.lines, self.depth, self.undeclared = [], 0, []
        for name in ("require", "require_permission", "is_for"):
            monkeypatch.setattr(Declared, name, self._noting(name, getattr(Declared, name)))
        monkeypatch.setattr(Declared, "__call__", self._calling(Declared.__call__))
        monkeypatch.setattr(audit, "record", self._recording(audit.record))

    def _noting(self, name, method):
        def noting(action, *args, **kwargs):
            self.lines.append((name, action))
            return method(action, *args, **kwargs)

        return noting

    def _calling(self, method):
        def calling(action, *args, **kwargs):
            self.lines.append(("called", action))
            self.depth += 1
            try:
                return method(action, *args, **kwargs)
            finally:
                self.depth -= 1

        return calling

    def _recording(self, method):
        def recording(verb, **said):
            if self.depth == 0 and isinstance(said.get("actor"), User):
                self.undeclared.append(verb)
            return method(verb, **said)

        return recording


@pytest.mark.parametrize(
    ("name", "entry_point", "where", "role"),
    list(_one_who_may()),
    ids=[f"{name}-{entry_point}" for name, entry_point, *_ in _one_who_may()],
)
def test_every_entry_point_asks_before_it_acts(world, db, monkeypatch, name, entry_point, where, role):  # noqa: F811
    row = ACTIONS[name]
    action = importlib.import_module(row.action.rpartition(".")[0]).__dict__[row.action.rpartition(".")[2]]
    made = []
    way = row.entry_points[entry_point]
    knock = type(way).knock
    monkeypatch.setattr(type(way), "knock", lambda *args: made.append(Log(monkeypatch)) or knock(*args))
    assert answer_of(row, entry_point, world, world.crowd(where)[role]) == "done"
    [log] = made
    called = log.lines.index(("called", action)) if ("called", action) in log.lines else len(log.lines)
    asked = log.lines[:called]
    questions = {"require", "require_permission", "is_for"} if entry_point == "admin" else {"require"}
    is_asked = any(what in questions and other is action for what, other in asked)
    assert is_asked, f"{entry_point} of {name!r} does not ask {action!r} before it acts."
    assert not log.undeclared, f"{log.undeclared}: somebody did this, and no declared action was called."


def modules_of_entry_points():
    for app in [*settings.OUR_APPS, "config"]:
        for path in Path(app).rglob("*.py"):
            if ENTRY_POINTS.search(f"/{path}") and not {"migrations", "proxy", "demo"} & set(path.parts):
                yield path


@pytest.mark.parametrize("path", list(modules_of_entry_points()), ids=str)
def test_no_entry_point_says_again_what_an_action_declares(path):
    declared = {name for action in DECLARED for name in action.permissions}
    said = set(re.findall(r"[\"'](\w+\.\w+)[\"']", path.read_text())) & declared
    said -= SAID_BELOW.get(str(path), set())
    assert not said, f"{path} names {sorted(said)}. Ask the action: `revoke_api_key.require(user, key)`."


def names_in(module, node):
    """What a name or a dotted name in the code of a module stands for."""
    if isinstance(node, ast.Name):
        return getattr(module, node.id, None)
    if isinstance(node, ast.Attribute):
        return getattr(names_in(module, node.value), node.attr, None)
    return None


def is_function_of_an_app(it):
    """Whether it is a plain function that entry points share: not one of theirs, a class, or a library's."""
    home = getattr(it, "__module__", "")
    is_ours = inspect.isfunction(it) and home.partition(".")[0] in settings.OUR_APPS
    return is_ours and not ENTRY_POINTS.search(f"/{home.replace('.', '/')}.py")


@pytest.mark.parametrize("path", list(modules_of_entry_points()), ids=str)
def test_what_entry_points_do_in_somebodys_name_is_declared(path):
    """A function of an app that is told by whom (`by=`) is an action, and says what it asks."""
    module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and any(argument.arg == "by" for argument in call.keywords):
            called = names_in(module, call.func)
            assert not is_function_of_an_app(called), (
                f"{path}:{call.lineno} does something in somebody's name: declare what {called} asks."
            )


def dialogs_of_the_admin():
    """Everything that the admin offers beside looking, by its address: /admin/app/model/…/name/."""
    for model, page in site._registry.items():
        if model._meta.app_label in settings.OUR_APPS:
            for name in {*(page.actions_list or ()), *page._extract_action_names(page.actions_detail or ())}:
                method = getattr(type(page), name)
                yield (
                    f"/admin/{model._meta.app_label}/{model._meta.model_name}/",
                    getattr(method, "url_path", name),
                )


def test_everything_that_the_admin_offers_is_an_entry_point_of_an_action():
    known = [action.admin.request.partition(" ")[2] for action in ACTIONS.values() if action.admin]
    offered = list(dialogs_of_the_admin())
    assert len(offered) > 30, "the search for dialogs finds none any more"
    missing = [
        f"{start}…{name}/"
        for start, name in offered
        if not any(way.startswith(start) and way.partition("?")[0].endswith(f"/{name}/") for way in known)
    ]
    assert not missing, f"{missing}: which action is behind it? Add it to tests/actions/."

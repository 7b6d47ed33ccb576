"""Every action that is recorded has a name in the language of the reader."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.utils import translation

from audit.action_words import ACTIONS, KINDS, action_in_words
from core.languages.files import APPS, ROOT

# Arguments and names that hold the code of an action.
NAMES = {"verb", "VERB", "_VERBS"}
CODE = re.compile(r"[a-z_]+\.[a-z_]+")


def codes_in(path: Path):
    """The codes of a module: the first argument of `record…` functions, and whatever is called `verb`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if "record" in name or name in ("_move", "_issue"):
                yield from (code for argument in node.args for code in texts(argument))
            yield from (code for word in node.keywords if word.arg in NAMES for code in texts(word.value))
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if NAMES & {getattr(target, "id", "") for target in targets}:
                yield from texts(node.value)


def texts(node: ast.expr):
    parts = [node]
    if isinstance(node, ast.IfExp):
        parts = [node.body, node.orelse]
    elif isinstance(node, ast.Dict):
        parts = node.values
    for part in parts:
        if isinstance(part, ast.Constant) and CODE.fullmatch(str(part.value)):
            yield str(part.value)


def recorded_codes() -> set[str]:
    modules = [path for app in (*APPS, "config") for path in (ROOT / app).rglob("*.py")]
    return {code for path in modules for code in codes_in(path)}


def test_every_action_that_is_recorded_has_a_name():
    codes = recorded_codes()
    assert len(codes) > 130, "the search for codes finds too few"
    assert codes - set(ACTIONS) == set()


def test_no_name_is_left_over():
    assert set(ACTIONS) - recorded_codes() == set()


def test_every_kind_of_object_has_a_name():
    assert {code.partition(".")[0] for code in ACTIONS} == set(KINDS)


@pytest.mark.parametrize("code", sorted([*ACTIONS, *KINDS]))
def test_the_name_is_in_the_language_of_the_reader(code):
    with translation.override("zh-hans"):
        assert not action_in_words(code).isascii()


def test_an_action_of_a_former_release_is_said_as_it_reads():
    assert action_in_words("road_map.walked") == "Road map walked"

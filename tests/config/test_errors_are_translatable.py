"""A sentence with which an action or page refuses something is marked for translation, as a whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

# Raised with a sentence that a person reads.
ERRORS = {
    "ValidationError", "Conflict", "PermissionDenied", "TooManyRequests", "BadRequest", "UnreadableFile",
    "changed_since",
}  # fmt: skip
APPS = (
    "accounts", "audit", "billing", "catalog", "core", "deployments", "directory", "exports", "gateway", "privacy",
    "tenants",
)  # fmt: skip
# The gateway answers in English, and commands are for those who read English logs.
ENGLISH = {"proxy", "litellm_plugin", "engine", "engine_host", "management", "migrations", "demo"}


def name_of(function):
    return getattr(function, "id", getattr(function, "attr", ""))


def says(node):
    """Whether an expression is a sentence that nothing translates: text with a space in it."""
    match node:
        case ast.Constant(value=str(text)):
            return " " in text
        case (
            ast.JoinedStr(values=parts)
            | ast.Dict(values=parts)
            | ast.List(elts=parts)
            | ast.Tuple(elts=parts)
        ):
            return any(map(says, parts))
        case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
            return says(left) or says(right)
    return False


def unmarked(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in ERRORS and any(map(says, node.args)):
            yield node.lineno


def test_the_search_finds_what_it_looks_for():
    source = """
raise Conflict("Not so.")
raise ValidationError({"end": f"At most {n} days."})
raise PermissionDenied(_("Not you."))
raise ValidationError({"end": message % {"days": 3}}, code="too long")
"""
    assert list(unmarked(ast.parse(source))) == [2, 3]


@pytest.mark.parametrize("app", APPS)
def test_every_refusal_is_marked_for_translation(app):
    paths = [path for path in Path(app).rglob("*.py") if not ENGLISH & set(path.parts)]
    assert paths
    found = [f"{path}:{line}" for path in paths for line in unmarked(ast.parse(path.read_text()))]
    assert not found, f"{found}: mark the whole sentence, with named placeholders (docs/languages.md)."

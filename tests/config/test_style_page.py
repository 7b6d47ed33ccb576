"""docs/style.md shows the code as it is: a block that names a file on its first line is a copy of it."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from accounts.declared import Action

PAGE = Path("docs/style.md").read_text()
COPIES = re.findall(r"^```python\n# ([\w/]+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# What the page asks of an action, of which the admin's dialog is one.
ASKED = set(re.findall(r"(?:subject_of|page_for)\((\w+)\)|\bDialog\(\n\s+(\w+),", PAGE))
ACTIONS = {name for pair in ASKED for name in pair if name}


def test_the_search_finds_the_copies():
    assert len(COPIES) >= 7
    assert {"withdraw_access_request", "revoke_api_key"} <= ACTIONS


@pytest.mark.parametrize(
    ("path", "code"), COPIES, ids=[f"{number}-{path}" for number, (path, _) in enumerate(COPIES)]
)
def test_a_copy_is_what_the_file_says(path, code):
    assert code in Path(path).read_text()


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_the_actions_of_the_page_are_there(name):
    packages = [import_module(f"{app}.actions") for app in ("accounts", "tenants", "catalog")]
    found = [getattr(package, name) for package in packages if hasattr(package, name)]
    assert found, f"docs/style.md names {name}, which is no action."
    assert isinstance(found[0], Action)

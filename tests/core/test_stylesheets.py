"""Our stylesheets hold no rule for what no page has: their classes and ids occur in templates, scripts, or code."""

import ast
import re
from functools import cache
from pathlib import Path

import django.contrib.admin
import pytest
import unfold
from django.conf import settings
from django.urls import get_resolver

ROOT = Path(__file__).resolve().parents[2]
STYLESHEETS = sorted((ROOT / "static/qm").glob("*.css"))
# Pages of the staff site are made of these, too.
OWN = [ROOT / "templates", ROOT / "exports/templates"]
UNFOLD = [Path(package.__path__[0]) / "templates" for package in (unfold, django.contrib.admin)]
# Joined in Python: {% icon "x" "lg" %}.
JOINED = {"icon-lg"}
VALUE = r"\{%.*?%\}|\{\{.*?\}\}"
SPOKEN = re.compile(
    r"\{#.*?#\}|\{% comment.*?endcomment %\}|\{% blocktrans.*?endblocktrans\w* %\}|\{% trans\w* .*?%\}", re.S
)
MARKUP = re.compile(rf"<[a-zA-Z](?:{VALUE}|[^<>{{])*>|{VALUE}", re.S)


def names_in_templates(folder):
    """Words inside tags, of HTML and of the template language; what people read does not count."""
    for path in folder.rglob("*.html"):
        yield from MARKUP.findall(SPOKEN.sub(" ", path.read_text()))


def names_in_scripts():
    for path in (ROOT / "static/qm").rglob("*.js"):
        yield from re.findall(r"'[^'\n]*'|`[^`\n]*`", path.read_text())


def names_in_code():
    """Strings that could name classes: their words are, or are in an attribute of HTML."""
    for app in (*settings.OUR_APPS, "config"):
        for path in (ROOT / app.split(".")[0]).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    if re.fullmatch(r"[a-z\d _-]{1,60}", node.value):
                        yield node.value
                    yield from re.findall(r"(?:class|id)=[\"']([^\"']*)", node.value)


def names_of_columns():
    """Classes that Django makes of the columns of lists, and of the fields of their rows."""
    # Registers the pages.
    assert get_resolver().url_patterns
    for page in django.contrib.admin.site._registry.values():
        for one in page.list_display:
            name = one if isinstance(one, str) else one.__name__
            yield from (f"column-{name}", f"field-{name}")


@cache
def used():
    own = [*names_in_scripts(), *names_in_code()]
    own += [text for folder in OWN for text in names_in_templates(folder)]
    return words(own), words(text for folder in UNFOLD for text in names_in_templates(folder))


def words(texts):
    found = set()
    for text in texts:
        found.update(re.findall(r"[\w-]+", text))
        # class="s{{ color }}" makes s1, s2, and so on.
        found.update(f"{start}{n}" for start in re.findall(r"([\w-]+)\{\{", text) for n in range(1, 7))
    return found


def named_by(stylesheet):
    """Classes and ids in the selectors of a stylesheet."""
    text = re.sub(r"/\*.*?\*/", "", stylesheet.read_text(), flags=re.S)
    for selector in re.findall(r"([^{};]+)\{", text):
        if not selector.strip().startswith("@"):
            yield from re.findall(r"[.#]([a-zA-Z_][\w-]*)", selector)


@pytest.mark.parametrize("stylesheet", STYLESHEETS, ids=lambda path: path.name)
def test_no_rule_is_for_what_no_page_has(stylesheet):
    own, theirs = used()
    names = set(named_by(stylesheet)) - own - JOINED
    if stylesheet.stem == "staff":
        names -= theirs | set(names_of_columns())
    assert names == set(), "remove these rules"

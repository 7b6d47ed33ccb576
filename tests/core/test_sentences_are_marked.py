"""What people read in templates, and what code calls things there, is marked for translation.

Refusals have a test of their own (tests/config/test_errors_are_translatable.py), as have names of models and fields.
"""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser

import pytest

from core.languages.files import APPS, ROOT
from core.languages.sources import templates

# The same in every language: the product, and words of programs and protocols.
NAMES = {"Quartermaster", "curl", "Python", "SHA-256"}
# Attributes that are shown or read out.
SHOWN = {"alt", "aria-description", "aria-label", "aria-valuetext", "data-label", "placeholder", "title"}
# Elements whose words are no sentences.
QUIET = {"code", "kbd", "pre", "script", "style"}
VOID = {"br", "col", "hr", "img", "input", "link", "meta", "path", "rect", "source", "use", "wbr"}
WORD = re.compile(r"[A-Za-z]{2}")

UNSEEN = re.compile(
    r"\{#.*?#\}|<!--.*?-->|\{% comment\b.*?endcomment %\}|\{% blocktrans.*?endblocktrans\w* %\}"
    # The class of an element.
    r"|\{% block \w*class %\}.*?\{% endblock\b.*?%\}",
    re.S,
)
ATTRIBUTES = re.compile(r"\{% block \w+_attributes %\}.*?\{% endblock\b.*?%\}", re.S)
CODE = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.S)
# Words as an argument of a part or an include: title="Prices", where title=_("Prices") is meant.
SAID = re.compile(r"""\b(?:title|label|text|caption|action|lead|note|button)=(["'])([^"']*)\1""")
DEFAULT = re.compile(r"""\|default(?:_if_none)?:(["'])([^"']*)\1""")


class Sentences(HTMLParser):
    """`found`: line and words of text and attributes in which no template code is left."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[tuple[str, bool]] = []
        self.found: list[tuple[int, str]] = []
        self.feed(html)
        self.close()

    def add(self, words: str) -> None:
        words = " ".join(words.split())
        for name in sorted(NAMES):
            words = words.replace(name, "")
        if WORD.search(words):
            self.found.append((self.getpos()[0], words))

    def handle_starttag(self, tag, attributes):
        shown = dict(attributes)
        if tag not in VOID:
            self.open.append((tag, tag in QUIET or shown.get("translate") == "no"))
        is_button = tag == "input" and shown.get("type") in ("submit", "button", "reset")
        for name, value in attributes:
            if name in SHOWN or (is_button and name == "value"):
                self.add(value or "")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        while any(tag == name for name, _ in self.open) and self.open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not any(is_quiet for _, is_quiet in self.open):
            self.add(data)


def spaces(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


def unmarked_in_template(source: str) -> list[tuple[int, str]]:
    # A block of attributes may hold one for the class.
    source = ATTRIBUTES.sub(spaces, UNSEEN.sub(spaces, source))
    found = Sentences(CODE.sub(spaces, source)).found
    for code in CODE.finditer(source):
        line = source[: code.start()].count("\n") + 1
        for said in (*SAID.finditer(code[0]), *DEFAULT.finditer(code[0])):
            # Names of icons, classes and the like have no space and no capital.
            if re.search(r"[A-Z][a-z]|[a-z] [a-z]", said[2]) and "$" not in said[2]:
                found.append((line, said[2]))
    return found


# Arguments and attributes that hold words for people.
WORDS = {
    "button", "description", "done", "empty_label", "empty_text", "empty_title", "heading", "help_text", "label",
    "note", "placeholder", "question", "short_description", "text", "title",
}  # fmt: skip
# Of dictionaries for programs: extra arguments of a serializer, a tool that a model may call.
IN_SCHEMAS = {"description", "help_text"}
MESSAGES = {"success", "info", "warning", "error"}
# The description of the API is English: fields and filters of these modules, and what the schema is given.
OF_THE_API = {"serializers", "django_filters", "filters"}
FOR_PROGRAMMERS = {
    "OpenApiResponse", "OpenApiParameter", "OpenApiExample", "extend_schema", "extend_schema_field", "MomentFilter",
    "AmountFilter", "PercentFilter", "RepeatableTextFilter", "WantedLimitsField", "WordsFilter",
}  # fmt: skip
# The gateway and the engines answer in English, and commands are for those who read English logs.
ENGLISH = {
    "proxy",
    "contract",
    "litellm_plugin",
    "engine",
    "engine_host",
    "management",
    "migrations",
    "demo",
    "scim",
}


# They mark words.
MARKS = {"_", "gettext", "gettext_lazy", "ngettext", "pgettext", "pgettext_lazy", "npgettext"}


def name_of(function: ast.expr | None) -> str:
    return getattr(function, "id", getattr(function, "attr", ""))


def words_in(node: ast.expr) -> bool:
    """Whether an expression shows words that nothing translates. What a function returns is its own matter."""
    match node:
        case ast.Constant(value=str(text)):
            return bool(re.search(r"[A-Z][a-z]|[a-z] [a-z]", text))
        case ast.JoinedStr(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            return any(words_in(part) for part in parts)
        case ast.BinOp(left=left, right=right) | ast.IfExp(body=left, orelse=right):
            return words_in(left) or words_in(right)
        case ast.BoolOp(values=parts):
            return any(words_in(part) for part in parts)
    return False


def unmarked_in_code(tree: ast.AST) -> list[int]:
    found, words = [], WORDS
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rest_framework"):
            words = WORDS - {"help_text"}
        if isinstance(node, ast.Call):
            module = name_of(getattr(node.func, "value", None))
            if name_of(node.func) in FOR_PROGRAMMERS or module in OF_THE_API:
                continue
            said = [one.value for one in node.keywords if one.arg in words]
            if name_of(node.func) in MESSAGES and module == "messages":
                said += node.args[1:]
        elif isinstance(node, ast.Assign):
            named = {name_of(target) for target in node.targets}
            said = [node.value] if named & WORDS else []
        elif isinstance(node, ast.Dict):
            said = [
                value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value in WORDS - IN_SCHEMAS
            ]
        else:
            continue
        found += [one.lineno for one in said if words_in(one)]
    return found


def marked_where_nobody_looks(tree: ast.AST) -> list[int]:
    """Lines of marked words within an f-string: `core.languages update` reads none of those."""
    return [
        call.lineno
        for text in ast.walk(tree)
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call) and name_of(call.func) in MARKS
    ]


def test_unmarked_words_of_a_template_are_found():
    source = """<p>{% translate "Marked" %} {{ name }} · 12 <code>git pull</code></p>
<p>Not marked</p>
<a title="Not so" href="/cost/" class="btn plain">{% blocktranslate %}Marked{% endblocktranslate %}</a>
{% include "components/note.html" with text="Not marked" class="mb-3" %}
{% part "card" title=_("Marked") %}{% if x == "In review" %}<b>{{ y|default:"None yet" }}</b>{% endif %}{% endpart %}
<input type="submit" value="Save"><span translate="no">glm-4.6</span>
"""
    assert sorted(line for line, _ in unmarked_in_template(source)) == [2, 3, 4, 5, 6]


def test_unmarked_words_of_code_are_found():
    source = """\
x = Field(label="Name", name="Internal name", help_text=_("Marked"))
messages.success(request, f"{key} is revoked.")
row = {"label": "Sent", "state": "done", "note": _("Marked")}
description = "Reason" if short else _("Reason of the suspension")
y = Facts(title=title_of(row), text="", label=row.label)
"""
    assert sorted(unmarked_in_code(ast.parse(source))) == [1, 2, 3, 4]


@pytest.mark.parametrize("path", list(templates(ROOT)), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_word_of_a_template_is_marked(path):
    if path.parent.name != "calls":
        assert unmarked_in_template(path.read_text()) == [], "mark it (docs/languages.md)"


def test_marked_words_within_an_f_string_are_found():
    source = """\
x = f"{before or _('none')}"
y = f"{words}: {listed(_(one) for one in names)}"
z = _("Named %(name)s") % {"name": f"{name}"}
"""
    assert marked_where_nobody_looks(ast.parse(source)) == [1, 2]


@pytest.mark.parametrize("app", [*APPS, "core", "config"])
def test_words_are_marked_by_names_that_the_extraction_knows(app):
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / app).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for name in node.names
        if name.name in MARKS and (name.asname or name.name) not in MARKS
    ]
    assert found == [], "only `_` may stand for another name"


@pytest.mark.parametrize("app", [*APPS, "core", "config"])
def test_no_words_are_marked_within_an_f_string(app):
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / app).rglob("*.py")
        for line in marked_where_nobody_looks(ast.parse(path.read_text()))
    ]
    assert found == [], "put it before the f-string"


@pytest.mark.parametrize("app", [*APPS, "core", "config"])
def test_what_code_calls_things_on_pages_is_marked(app):
    paths = [path for path in (ROOT / app).rglob("*.py") if not ENGLISH & set(path.parts)]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in paths
        for line in unmarked_in_code(ast.parse(path.read_text()))
    ]
    assert found == [], "mark the whole sentence (docs/languages.md)"

"""Catalogs: nothing is lost when the source changes, and what Django reads is what the catalogs say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from core.languages import catalogs
from core.languages.catalogs import identity_of, is_translated, placeholders, read_catalog, texts
from core.languages.files import APPS, COMMON, LANGUAGES, ROOMS, ROOT, catalog_path, stale_catalogs
from core.languages.libraries import library_sentences
from core.languages.sources import gathered


@pytest.fixture
def tree(tmp_path):
    """A small source tree of its own."""
    for folder in ("billing", "tenants", "core", "config", "templates/billing", "templates/admin/tenants"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def update(tree):
    return catalogs.update(tree, libraries=lambda languages: [])


def written(tree, room):
    catalog = read_catalog(catalog_path(room, "zh_Hans", tree), "zh_Hans")
    return {texts(one.id)[0]: one for one in catalog if one.id}


def translate(tree, room, sentence, text):
    path = catalog_path(room, "zh_Hans", tree)
    catalog = read_catalog(path, "zh_Hans")
    catalog.get(sentence).string = text
    catalogs.write_catalog(catalog, path)


def test_each_sentence_is_in_the_catalog_of_its_app(tree):
    (tree / "billing/views.py").write_text('title = _("Cost")\nngettext("one call", "%(n)s calls", n)\n')
    (tree / "tenants/views.py").write_text('title = _("Members")\nback = _("Back")\n')
    (tree / "templates/billing/cost.html").write_text(
        '{% load i18n %}{% if a %}\n    {% translate "Back" %}\n  {% endif %}'
        "{% blocktranslate with who=x trimmed %}\n  Paid\n  by {{ who }}\n{% endblocktranslate %}"
    )
    (tree / "templates/admin/tenants/close.html").write_text('{% translate "Close" context "a tenant" %}')
    (tree / "templates/base.html").write_text('{% translate "Home" %}')
    update(tree)
    assert set(written(tree, "billing")) == {"Cost", "one call", "Paid by %(who)s"}
    assert written(tree, "billing")["one call"].id == ("one call", "%(n)s calls")
    assert set(written(tree, "tenants")) == {"Members", "Close"}
    assert [one.context for one in written(tree, "tenants").values()].count("a tenant") == 1
    # Two apps say it.
    assert set(written(tree, COMMON)) == {"Back", "Home"}


def test_a_sentence_that_moves_keeps_its_translation(tree):
    (tree / "billing/views.py").write_text('_("Cost")\n')
    update(tree)
    translate(tree, "billing", "Cost", "费用")
    (tree / "tenants/views.py").write_text('_("Cost")\n')
    assert update(tree) == {"zh_Hans": 0}
    assert written(tree, "billing") == {}
    assert written(tree, COMMON)["Cost"].string == "费用"


def test_a_sentence_that_nothing_says_any_more_goes(tree):
    (tree / "billing/views.py").write_text('_("Cost")\n')
    update(tree)
    (tree / "billing/views.py").write_text('_("Costs")\n')
    assert update(tree) == {"zh_Hans": 1}
    assert set(written(tree, "billing")) == {"Costs"}


def test_a_sentence_that_becomes_plural_keeps_its_translation(tree):
    (tree / "billing/views.py").write_text('_("%(n)s calls")\n')
    update(tree)
    translate(tree, "billing", "%(n)s calls", "%(n)s 次调用")
    (tree / "billing/views.py").write_text('ngettext("%(n)s calls", "%(n)s calls!", n)\n')
    assert update(tree) == {"zh_Hans": 0}
    assert written(tree, "billing")["%(n)s calls"].string == ("%(n)s 次调用",)


def test_nothing_changes_when_the_source_does_not(tree):
    (tree / "billing/views.py").write_text('# Translators: a heading\ntitle = _("Cost")\n')
    update(tree)
    path = catalog_path("billing", "zh_Hans", tree)
    before = path.read_bytes()
    assert b"a heading" in before
    os.utime(path, ns=(0, 0))
    update(tree)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, 0)


def test_only_what_changed_is_built(tree):
    (tree / "billing/views.py").write_text('_("Cost")\n')
    update(tree)
    built = catalogs.build(tree)
    assert catalog_path("billing", "zh_Hans", tree) in built
    assert catalog_path("billing", "zh_Hans", tree).with_suffix(".mo").exists()
    assert catalogs.build(tree) == []


def test_the_catalogs_are_as_the_source_is():
    """`make messages` writes them."""
    found = gathered(library_sentences(LANGUAGES))
    for language in LANGUAGES:
        for room in ROOMS:
            catalog = read_catalog(catalog_path(room, language), language)
            known = {identity_of(one) for one in catalog if one.id}
            assert known == set(found[room]), f"{room or 'locale'}: run make messages"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room or "common")
def test_every_sentence_is_translated_and_keeps_its_placeholders(room, language):
    lacking, different = [], []
    for one in read_catalog(catalog_path(room, language), language):
        if not one.id:
            continue
        if not is_translated(one):
            lacking.append(one.id)
        elif any(kept_by(one) != placeholders(form) for form in texts(one.string)):
            different.append((one.id, one.string))
    assert not lacking, f"Write them in {catalog_path(room, language).relative_to(ROOT)}"
    assert not different


def test_no_placeholder_is_left_empty():
    """`blocktranslate` looks up `n|intcomma` and `tenant.name` as names, finds nothing, and shows nothing."""
    found = gathered(library_sentences(LANGUAGES))
    names = [
        key
        for room in found.values()
        for key in room
        if re.search(r"%\([^)]*[^\w)][^)]*\)s", str(room[key].text))
    ]
    assert names == []


def kept_by(message):
    """What a translation has to keep: of a plural, what its last form has ("one call" has no number)."""
    return placeholders(texts(message.id)[-1])


def test_a_lost_placeholder_is_noticed(tree):
    (tree / "billing/views.py").write_text(
        'ngettext("one of %(all)s calls", "%(n)s of %(all)s {calls}", n)\n'
    )
    update(tree)
    translate(tree, "billing", "one of %(all)s calls", ("%(n)s 次 {calls}",))
    found = written(tree, "billing")["one of %(all)s calls"]
    assert kept_by(found) - placeholders(found.string[0]) == {"%(all)s"}


def test_catalogs_are_built_without_gettext(tmp_path):
    """With no program on the path at all."""
    for path in (ROOT / "core/languages", ROOT / "locale"):
        shutil.copytree(
            path, tmp_path / path.relative_to(ROOT), ignore=shutil.ignore_patterns("*.mo", "__pycache__")
        )
    (tmp_path / "core/__init__.py").touch()
    nowhere = tmp_path / "no-programs"
    nowhere.mkdir()
    build = [sys.executable, "-m", "core.languages", "build"]
    subprocess.run(build, cwd=tmp_path, env={"PATH": str(nowhere)}, check=True)
    assert catalog_path(COMMON, "zh_Hans", tmp_path).with_suffix(".mo").stat().st_size > 1000
    assert stale_catalogs(tmp_path) == []


def test_our_words_win_over_those_of_libraries():
    """The first path wins, and libraries come after all paths: Django's admin translates "Home" otherwise."""
    paths = [Path(path) for path in settings.LOCALE_PATHS]
    assert paths[0] == ROOT / "locale"
    assert {path.parent.name for path in paths[1:]} >= set(APPS)

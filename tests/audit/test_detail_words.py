"""Details of audit entries are named in the language of the reader; the log keeps the names of the code."""

from __future__ import annotations

import ast
import inspect

import pytest
from django.core.exceptions import ValidationError
from django.utils import translation

import audit
from audit.detail_words import DETAILS, detail_in_words
from audit.kinds_of_secrets import KINDS_OF_SECRETS
from audit.recording import require_no_secret
from core.languages.files import APPS, ROOT
from core.leaks import KINDS
from privacy.views import changes_of, facts_of

# What `audit.record` itself takes; the rest of its words are details.
ARGUMENTS = {
    name
    for function in (audit.record, audit.record_of_tenants)
    for name in inspect.signature(function).parameters
}


def recorded_details() -> set[str]:
    """The words of `audit.record(…)` calls that are details."""
    calls = (
        node
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("audit.record", "audit.record_of_tenants")
    )
    return {word.arg for call in calls for word in call.keywords if word.arg} - ARGUMENTS


def test_every_detail_that_is_recorded_has_a_name():
    assert len(recorded_details()) > 60, "the search for details finds too few"
    assert recorded_details() - set(DETAILS) == set()


@pytest.mark.parametrize("name", sorted(DETAILS))
def test_a_detail_is_called_in_the_language_of_the_reader(name):
    assert detail_in_words(name)[0].isupper()
    with translation.override("zh-hans"):
        assert not detail_in_words(name).isascii() or name == "base_url"


def test_what_nothing_records_any_more_reads_as_it_is():
    assert detail_in_words("of_a_former_release") == "Of a former release"


def test_values_are_said_in_words(db, lab, owner):
    entry = audit.record(
        "membership.added", actor=None, subject=owner.memberships.get(), tenant=lab, role="developer",
        tracks=["security", "cost"], limits={"requests_per_minute": 3}, second_factor=True,
        changes={"role": ("viewer", "owner")},
    )  # fmt: skip
    with translation.override("zh-hans"):
        assert facts_of(entry) == [
            ("双重验证", "是"), ("审批环节", "安全、成本"), ("角色", "开发者"), ("额度", "每分钟请求数：3"),
        ]  # fmt: skip
        assert changes_of(entry) == [("角色", "查看者", "所有者")]
    assert ("Role", "Developer") in facts_of(entry)


def test_a_change_of_what_is_no_field_is_said_as_a_detail(db, lab, project, owner):
    """Relations are not looked up: what was recorded of an owner is their name."""
    changes = {"data_class": ("internal", "restricted"), "owner": ("Ann", "Ben")}
    entry = audit.record("project.owner_changed", actor=None, subject=project, tenant=lab, changes=changes)
    assert changes_of(entry) == [("Data class", "Internal", "Restricted"), ("Owner", "Ann", "Ben")]


def test_the_kind_of_a_secret_is_said_too():
    assert set(KINDS_OF_SECRETS) == KINDS
    with translation.override("zh-hans"):
        with pytest.raises(ValidationError, match="私钥") as refused:
            require_no_secret("-----BEGIN RSA PRIVATE KEY-----")
        assert "key" not in refused.value.messages[0]

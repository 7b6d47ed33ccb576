"""A page of the staff site shows a state as its badge, as lists do, and rules and changes in the reader's language."""

from __future__ import annotations

from django.utils.translation import override

import audit
from gateway.signing import new_signing_key
from privacy.views import in_one_line


def test_a_state_among_facts_is_its_badge(client, operator):
    client.force_login(operator)
    page = client.get(f"/admin/gateway/signingkey/{new_signing_key().pk}/change/").content.decode()
    assert "(True" not in page
    assert "in use" in page.partition("<main")[2]


def test_changes_in_one_line_are_in_the_language_of_the_reader(db, lab):
    entry = audit.record(
        "tenant.changed", actor=None, subject=lab, role="owner", changes={"status": ("active", "closed")}
    )
    assert in_one_line(entry) == "Status: Active → Closed · Role: Owner"
    with override("zh-hans"):
        assert in_one_line(entry) == "状态：有效 → 已注销 · 角色：所有者"
        assert in_one_line(entry, facts=False) == "状态：有效 → 已注销"

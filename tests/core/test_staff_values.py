"""What somebody saw who did not build the pages: no raw values, one dash for nothing, words for an empty choice."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.utils.translation import override

from core.dates import DASH
from core.templatetags.qm import close_up
from core.templatetags.staff import cell
from privacy.views import _shown


def test_lists_and_pages_of_the_staff_site_have_one_dash_for_nothing():
    assert admin.site.empty_value_display == DASH


def test_the_empty_choice_of_a_list_is_said_in_words():
    field = forms.ChoiceField(choices=[("", "---------"), ("a", "A")])
    shown = field.widget.render("x", "")
    assert "---" not in shown
    assert "Not chosen" in shown
    with override("zh-hans"):
        assert "未选择" in field.widget.render("x", "")


def test_a_recorded_time_and_amount_are_written_as_pages_write_them():
    assert _shown("2026-12-30T13:37:08.095601+00:00", {}) == "2026-12-30 13:37:08 UTC"
    assert _shown("135000.00000000", {}) == "135000.00"
    assert _shown("0.12500000", {}) == "0.125"
    assert _shown("3.14 of 2026-12-30", {}) == "3.14 of 2026-12-30"


def test_cells_of_lists_are_named_as_their_columns_and_group_digits():
    assert cell('<td class="field-price_for" data-label="price for">1000000</td>') == (
        '<td class="field-price_for" data-label="Price for">1,000,000</td>'
    )
    name = '<td class="field-name" data-label="Name">20261130</td>'
    assert cell(name) == name


def test_nothing_stands_between_wan_and_what_is_counted():
    assert close_up("共 1.59 万 次调用") == "共 1.59 万次调用"
    assert close_up("共 7,917 次调用") == "共 7,917 次调用"


def test_rules_of_passwords_are_said_politely():
    from django.contrib.auth.forms import SetPasswordForm

    from accounts.models import User

    with override("zh-hans"):
        rules = str(SetPasswordForm(User()).fields["new_password1"].help_text)
    assert "您的密码" in rules
    assert "你" not in rules

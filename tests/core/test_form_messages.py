"""Every form says what is wrong in our words, in the language of the page."""

import pytest
from django import forms
from django.apps import apps
from django.core.exceptions import ValidationError
from django.urls import get_resolver
from django.utils.translation import override

DJANGOS = ("This field", "Select a valid", "Enter a valid", "Ensure ", "Please ", "“%(value)s” value")
OURS = {"Enter a valid e-mail address, such as ana@example.com."}
OUR_APPS = [
    "core", "audit", "accounts", "tenants", "directory", "exports", "privacy", "billing", "catalog", "deployments",
    "gateway",
]  # fmt: skip


def our_forms():
    # Loads every view and every admin class, and with them their forms.
    assert get_resolver().url_patterns
    waiting, found = [forms.BaseForm], set()
    while waiting:
        for child in waiting.pop().__subclasses__():
            if child not in found:
                found.add(child)
                waiting.append(child)
    return sorted(
        (form for form in found if form.__module__.split(".")[0] in OUR_APPS),
        key=lambda form: form.__qualname__,
    )


def messages_of(field):
    yield from map(str, field.error_messages.values())
    for validator in field.validators:
        message = getattr(validator, "message", "")
        if isinstance(message, str) or hasattr(message, "__mod__"):
            yield str(message)


def test_no_form_speaks_in_djangos_words():
    found = our_forms()
    assert len(found) > 30
    said = {
        (form.__qualname__, name, text)
        for form in found
        for name, field in getattr(form, "base_fields", {}).items()
        for text in messages_of(field)
        if text.startswith(DJANGOS) and text not in OURS
    }
    assert said == set()


def test_no_model_speaks_in_djangos_words():
    said = {
        (model.__name__, field.name, str(text))
        for app in OUR_APPS
        if app in apps.app_configs
        for model in apps.get_app_config(app).get_models()
        for field in model._meta.get_fields()
        for code, text in getattr(field, "error_messages", {}).items()
        if code in ("null", "blank", "unique", "invalid_choice") and str(text).startswith(DJANGOS)
    }
    assert said == set()


@pytest.mark.parametrize(
    ("field", "value", "english", "chinese"),
    [
        (forms.CharField(), "", "Fill in this field.", "请填写此项。"),
        (forms.ChoiceField(choices=[("a", "A")]), "", "Choose one.", "请选择一项。"),
        (
            forms.ChoiceField(choices=[("a", "A")]), "b",
            "This is not among the choices. Choose one of them.", "选项中没有此值，请从选项中选择。",
        ),
        (forms.DateField(), "soon", "Enter a date, such as 2026-11-30.", "请输入日期，例如 2026-11-30。"),
        (
            forms.CharField(max_length=2), "abc",
            "Use at most 2 characters; these are 3.", "最多 2 个字符，现有 3 个。",
        ),
        (forms.IntegerField(min_value=1), "0", "Enter 1 or more.", "请输入不小于 1 的值。"),
    ],
)  # fmt: skip
def test_it_is_said_in_both_languages(field, value, english, chinese):
    for language, expected in (("en", english), ("zh-hans", chinese)):
        with override(language):
            with pytest.raises(ValidationError) as problem:
                field.clean(value)
            assert problem.value.messages == [expected]

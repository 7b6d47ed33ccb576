"""Fields, filters and choices are named in the language of the page, in the admin and in every form."""

from __future__ import annotations

import re

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.options import InlineModelAdmin
from django.contrib.admin.utils import flatten_fieldsets, label_for_field
from django.test import RequestFactory
from django.urls import get_resolver
from django.utils import translation

from core.languages.files import APPS
from deployments.providers.dialects import DIALECTS

# Names that are the same in both languages: those of providers have no word in small letters.
SAME = {"Base URL", "base URL", "CSV", "Token", "Kubernetes", "---------", "safetensors", "GGUF", "ONNX"} | {
    one.label for one in DIALECTS.values() if not re.search(r"\b[a-z]{3,}", one.label)
}
MODEL_ADMINS = [one for model, one in admin.site._registry.items() if model._meta.app_label in APPS]


def is_foreign(words: object) -> bool:
    """Whether somebody who reads Chinese meets English here."""
    text = str(words).strip()
    return text not in SAME and text.isascii() and re.search(r"[A-Za-z]", text) is not None


def subclasses(cls: type) -> set[type]:
    found = set(cls.__subclasses__())
    return found.union(*map(subclasses, found))


def our_forms() -> list[type[forms.BaseForm]]:
    assert get_resolver().url_patterns  # imports what pages use
    ours = (*APPS, "core", "config")
    found = [form for form in subclasses(forms.BaseForm) if form.__module__.split(".")[0] in ours]
    return sorted(found, key=lambda form: (form.__module__, form.__qualname__))


def words_of(form: type[forms.BaseForm]):
    """Each (where, words) that a form of this class says of its fields."""
    for name, field in form.base_fields.items():
        if isinstance(field.widget, forms.HiddenInput):
            continue
        # Without a label, Django makes one of the field's name.
        yield name, name if field.label is None else field.label
        yield f"{name}: help", field.help_text
        if isinstance(field, forms.ChoiceField) and not isinstance(field, forms.ModelChoiceField):
            yield from ((f"{name}: choice", words) for words in labels_of(field.choices))


def labels_of(choices):
    for _value, words in choices:
        yield from labels_of(words) if isinstance(words, list | tuple) else [words]


def admin_words(model_admin, request):
    """Each (where, words) on the list and the page of a model in the admin."""
    editable = model_admin.has_add_permission(request)
    # Forms are looked at below; here, only that these are their fields.
    own = model_admin.get_form(request).base_fields if editable else {}
    for _title, options in model_admin.get_fieldsets(request):
        yield "fieldset", _title or ""
        yield "fieldset", options.get("description") or ""
    for name in [*model_admin.get_list_display(request), *fields_of(model_admin, request)]:
        if name not in own:
            yield name, label_for_field(name, model_admin.model, model_admin)
    for name in model_admin.get_list_filter(request):
        if isinstance(name, type):
            yield name.__name__, name.title
        else:
            path = name[0] if isinstance(name, tuple) else name
            yield path, admin.utils.get_fields_from_path(model_admin.model, path)[-1].verbose_name
    for inline in model_admin.get_inline_instances(request):
        for name in fields_of(inline, request):
            yield f"{type(inline).__name__}.{name}", label_for_field(name, inline.model, inline)


def fields_of(model_admin, request):
    return map(str, flatten_fieldsets(model_admin.get_fieldsets(request)))


@pytest.fixture
def request_of_operator(operator):
    request = RequestFactory().get("/admin/")
    request.user = operator
    return request


@pytest.mark.parametrize("model_admin", MODEL_ADMINS, ids=lambda one: one.model._meta.label)
def test_the_admin_names_what_it_shows_of_a_model(model_admin, request_of_operator):
    assert not isinstance(model_admin, InlineModelAdmin)
    with translation.override("zh-hans"):
        found = [(at, str(words)) for at, words in admin_words(model_admin, request_of_operator)]
    assert [one for one in found if is_foreign(one[1])] == []


def test_each_form_names_its_fields():
    with translation.override("zh-hans"):
        found = [
            f"{form.__module__}.{form.__qualname__} {at}: {words}"
            for form in our_forms()
            for at, words in words_of(form)
            if is_foreign(words)
        ]
    assert found == []


def test_there_are_forms_to_look_at():
    assert len(our_forms()) > 40

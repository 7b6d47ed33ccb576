"""The admin names each of our models and apps in the language of the page."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.utils import translation
from django.utils.functional import Promise

from core.languages.files import APPS

MODELS = [model for model in admin.site._registry if model._meta.app_label in APPS]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_a_model_says_both_its_names(model):
    """Without a plural of its own, Django adds an "s", in every language."""
    stated = model._meta.original_attrs
    for name in ("verbose_name", "verbose_name_plural"):
        assert isinstance(stated.get(name), Promise), f"{name} is not marked for translation"
        with translation.override("zh-hans"):
            assert not str(stated[name]).isascii()


@pytest.mark.parametrize("app", APPS)
def test_an_app_says_its_name(app):
    with translation.override("zh-hans"):
        assert not str(apps.get_app_config(app).verbose_name).isascii()

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

from core.dates import DASH
from core.form_messages import use_our_form_messages


class CoreConfig(AppConfig):
    name = "core"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Before any app's models and forms, whose fields take over the messages that they find.
        use_our_form_messages()

    def ready(self) -> None:
        from core.home import discover
        from core.rls import install_policies

        discover()
        admin.site.empty_value_display = DASH
        # Pages say them in the language of their reader, whichever process stored them.
        autodiscover_modules("stored_sentences")

        post_migrate.connect(install_policies, sender=self)

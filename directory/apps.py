from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DirectoryConfig(AppConfig):
    name = "directory"
    verbose_name = _("Directory")

    def ready(self) -> None:
        from directory.actions.due_group_mappings import note_changed_access
        from tenants.signals import person_access_changed

        person_access_changed.connect(note_changed_access)

from __future__ import annotations

from django.apps import AppConfig


class DirectoryConfig(AppConfig):
    name = "directory"

    def ready(self) -> None:
        from directory.actions.due_group_mappings import note_changed_access
        from tenants.signals import person_access_changed

        person_access_changed.connect(note_changed_access)

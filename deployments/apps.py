from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DeploymentsConfig(AppConfig):
    name = "deployments"
    verbose_name = _("Deployments")

    def ready(self) -> None:
        from catalog import version_uses
        from core import database_conflicts as conflicts
        from deployments import database_conflicts
        from deployments.versions import use_of

        version_uses.register(use_of)
        conflicts.register(database_conflicts.SENTENCES)

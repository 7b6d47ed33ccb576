"""Registers the console with Django."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        """Bind shared tasks to our Celery application in every Django process, not only workers; register checks."""
        import config.celery
        import config.checks  # noqa: F401

"""Registers the console with Django."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        """Bind shared tasks to our Celery application in every process, register checks, and style Unfold's fields."""
        import config.celery
        import config.checks  # noqa: F401
        from config.unfold_classes import use_portal_classes

        use_portal_classes()

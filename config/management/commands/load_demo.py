"""Load the demo's tenants, people, catalog and traffic. Safe to repeat."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.demo.load import load_demo


class Command(BaseCommand):
    help = "Load the demo's tenants, people, catalog and traffic, and write demo.json. Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.IS_DEMO:
            raise CommandError(
                "This installation is no demo (DEMO is off): it would get made-up people. Start one with make demo."
            )
        # Log lines would break up the progress that the person who starts the demo reads.
        logging.getLogger("core.scope").setLevel(logging.WARNING)
        load_demo(self.stdout.write)

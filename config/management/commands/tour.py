"""Take the tour of a running demo over HTTP, and print its results."""

from __future__ import annotations

from typing import Any

import openai
import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.demo.browser import UnexpectedAnswer
from config.demo.tour import read_installation, walk
from config.demo.visit import Difference


class Command(BaseCommand):
    help = (
        "Follow the main path of a running demo over HTTP and print a line per step. It stops at the "
        "first difference."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--patience", type=float, default=1.0, help="wait so many times longer (a busy machine)"
        )
        parser.add_argument("--installation", default=str(settings.LOCAL_DIR / "demo.json"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            for line in walk(read_installation(options["installation"]), patience=options["patience"]):
                self.stdout.write(line)
        except FileNotFoundError as error:
            raise CommandError(
                f"{options['installation']} is not there. Start the demo first: make demo"
            ) from error
        except requests.ConnectionError as error:
            raise CommandError(f"The console does not answer. Is the demo running? ({error})") from error
        except (Difference, UnexpectedAnswer) as difference:
            raise CommandError(f"A difference: {difference}") from difference
        except openai.APIError as error:
            raise CommandError(f"A difference: the gateway answered {error}") from error
        self.stdout.write(self.style.SUCCESS("The main path is open."))

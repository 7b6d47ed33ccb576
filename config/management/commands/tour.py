"""Take the tour of a running demo over HTTP, and print its results."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import openai
import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _
from django.utils.translation import override

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
        parser.add_argument(
            "--language",
            choices=[code for code, _name in settings.LANGUAGES],
            default=language_of(os.environ),
            help="default: that of the shell",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with override(options["language"]):
            self._walk(options["installation"], options["patience"])

    def _walk(self, installation: str, patience: float) -> None:
        try:
            for line in walk(read_installation(installation), patience=patience):
                self.stdout.write(line)
        except FileNotFoundError as error:
            message = _("%(file)s is not there. Start the demo first: make demo")
            raise CommandError(message % {"file": installation}) from error
        except requests.ConnectionError as error:
            message = _("The console does not answer. Is the demo running? (%(error)s)")
            raise CommandError(message % {"error": error}) from error
        except (Difference, UnexpectedAnswer) as difference:
            raise CommandError(_("A difference: %(what)s") % {"what": difference}) from difference
        except openai.APIError as error:
            message = _("A difference: the gateway answered %(error)s")
            raise CommandError(message % {"error": error}) from error
        self.stdout.write(self.style.SUCCESS(_("The main path is open.")))


def language_of(environment: Mapping[str, str]) -> str:
    """The language that a shell asks for (POSIX, "Internationalization Variables"); English if it is none of ours."""
    said = next(filter(None, (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "zh-hans" if said.lower().startswith("zh") else "en"

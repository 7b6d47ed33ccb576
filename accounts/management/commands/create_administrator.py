"""Make the first administrator, or let one in when nobody else can sign in. Safe to repeat."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from accounts.actions import create_administrator
from core.errors import Conflict
from core.scope import platform_scope


class Command(BaseCommand):
    help = (
        "Make EMAIL an administrator and print a link that signs them in once, within 15 minutes. It "
        "works with LOCAL_ACCOUNTS off and while the OpenID provider is away, so give a shell on this "
        "machine only to people you trust. The audit log records every link."
    )

    # It must work even when nobody else can sign in.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the administrator's e-mail address")
        parser.add_argument("--reason", default="", help="the reason, for the audit log")
        parser.add_argument(
            "--reset-second-factor",
            action="store_true",
            help="also remove their authenticator and sign them out everywhere",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with platform_scope("an administrator is made on the machine"):
                user, token = create_administrator(
                    options["email"],
                    reason=options["reason"] or "made on the machine",
                    reset_factor=options["reset_second_factor"],
                )
        except (ValidationError, Conflict) as error:
            words = error.messages if isinstance(error, ValidationError) else [error.message]
            raise CommandError(" ".join(words)) from error
        link = settings.CONSOLE_URL + reverse("administrator-link", args=[token])
        how = (
            "choose a password" if settings.LOCAL_ACCOUNTS else "sign in; passwords are off (LOCAL_ACCOUNTS)"
        )
        self.stdout.write(
            f"{user.email} is an administrator. Open this link within 15 minutes and {how}:\n\n{link}\n"
        )
        self.stdout.write("It works once and is shown only once. Run the command again for another link.")

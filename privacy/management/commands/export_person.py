"""manage.py export_person: all that is held about a person, as JSON."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User
from core.addresses import address_or_none
from privacy.personal_data import as_json, export_person


class Command(BaseCommand):
    help = "Write all personal data of a person, across tenants, as one JSON object of lists."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument(
            "--output", type=Path, help="a file, readable by you alone; default: standard output"
        )

    @transaction.atomic
    def handle(self, *args: Any, email: str, output: Path | None, **options: Any) -> None:
        user = User.objects.filter(email=address_or_none(email)).first()
        if user is None:
            raise CommandError(f"Nobody has the address {email}.")
        parts = as_json(export_person(user, by=None))
        if output is None:
            sys.stdout.buffer.writelines(parts)
            return
        with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            try:
                file.writelines(parts)
            except BaseException:
                output.unlink()
                raise
        self.stdout.write(f"{output} contains the personal data of {email}.")

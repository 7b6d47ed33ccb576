"""manage.py export_person: all that is held about somebody, as JSON."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import IO, Any

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from tenants.models import User
from tenants.personal_data import export_person


class Command(BaseCommand):
    help = "Write all that is held about a person, across tenants, as one JSON object of lists."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument(
            "--output", type=Path, help="a file, readable by you alone; default: standard output"
        )

    @transaction.atomic
    def handle(self, *args: Any, email: str, output: Path | None, **options: Any) -> None:
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            raise CommandError(f"Nobody has the address {email}.")
        if output is None:
            self.write(user, sys.stdout.buffer)
            return
        with open(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            self.write(user, file)
        self.stdout.write(f"{output} holds what is known about {email}.")

    def write(self, user: User, file: IO[bytes]) -> None:
        """One object, written as it is read: the trail comes in many batches and never stands in memory."""
        open_kind = ""
        file.write(b"{")
        for kind, rows in export_person(user, by=None):
            if isinstance(rows, dict):
                file.write(orjson.dumps(kind) + b": " + orjson.dumps(rows))
                open_kind = kind
                continue
            for place, row in enumerate(rows):
                is_first = kind != open_kind and place == 0
                if is_first:
                    file.write(
                        (b"" if open_kind in ("", "person") else b"]") + b",\n" + orjson.dumps(kind) + b": ["
                    )
                    open_kind = kind
                file.write((b"\n" if is_first else b",\n") + orjson.dumps(row))
        file.write(b"" if open_kind == "person" else b"]")
        file.write(b"}\n")

"""manage.py export_seals: carry the seals to their store now, or write them out."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.carrying import SEALS_AT_ONCE, SealsWereCut, destination_of, export_seals, seal_lines


class Command(BaseCommand):
    help = "Carry new seals of the audit log to AUDIT_SEAL_EXPORT, or write them to a place of your choice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--to", metavar="PLACE", help="file:///…, s3://bucket/prefix, or - for standard output"
        )

    def handle(self, *args: Any, to: str | None, **options: Any) -> None:
        try:
            if to is None:
                if not settings.AUDIT_SEAL_EXPORT:
                    raise CommandError("Set AUDIT_SEAL_EXPORT, or say --to.")
                self.stdout.write(f"{export_seals()} seals carried to {settings.AUDIT_SEAL_EXPORT}.")
                return
            store = None if to == "-" else destination_of(to)
            last = 0
            while lines := seal_lines(after=last, limit=SEALS_AT_ONCE):
                if store is None:
                    for line in lines:
                        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n")
                else:
                    store.put(lines)
                last = lines[-1]["number"]
            if store is not None:
                self.stdout.write(f"{store.name} holds the seals up to {last}.")
        except SealsWereCut as cut:
            raise CommandError(str(cut)) from None

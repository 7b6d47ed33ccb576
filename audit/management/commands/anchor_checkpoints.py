"""manage.py anchor_checkpoints: write new checkpoints to their store now, or to a store of your choice."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from audit.anchors import (
    CHECKPOINTS_AT_ONCE,
    AnchorMismatch,
    anchor_checkpoints,
    checkpoint_lines,
    destination_of,
)


class Command(BaseCommand):
    help = "Write new checkpoints of the audit log to AUDIT_ANCHOR, or write them to a place of your choice."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--to", metavar="PLACE", help="file:///…, s3://bucket/prefix, or - for standard output"
        )

    def handle(self, *args: Any, to: str | None, **options: Any) -> None:
        try:
            if to is None:
                if not settings.AUDIT_ANCHOR:
                    raise CommandError("Set AUDIT_ANCHOR, or give --to.")
                self.stdout.write(f"{anchor_checkpoints()} checkpoints written to {settings.AUDIT_ANCHOR}.")
                return
            store = None if to == "-" else destination_of(to)
            last = 0
            while lines := checkpoint_lines(after=last, limit=CHECKPOINTS_AT_ONCE):
                if store is None:
                    for line in lines:
                        sys.stdout.buffer.write(orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n")
                else:
                    store.put(lines)
                last = lines[-1]["number"]
            if store is not None:
                self.stdout.write(f"{store.name} holds the checkpoints up to {last}.")
        except AnchorMismatch as cut:
            raise CommandError(str(cut)) from None

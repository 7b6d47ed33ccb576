"""`manage.py import_catalog [FILE]`: update the catalog from a LiteLLM price map."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from catalog.actions import import_price_map
from catalog.price_map.entries import UnreadableFile
from catalog.price_map.vendor import VENDORED, read_text
from core.text_files import UnreadableText


class Command(BaseCommand):
    help = (
        "Import models, offers and list prices from a LiteLLM price map. The same file again changes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            nargs="?",
            type=Path,
            default=VENDORED,
            help="a price map, plain or gzipped; default: the copy in this version",
        )

        parser.add_argument(
            "--prices-from",
            type=datetime.fromisoformat,
            metavar="2026-08-01",
            help="when (UTC) first list prices begin, for past usage; default: this hour",
        )

        parser.add_argument("--quiet", action="store_true", help="print nothing unless something goes wrong")

    def handle(
        self, *args: Any, file: Path, prices_from: datetime | None, quiet: bool, **options: Any
    ) -> None:
        begun = monotonic()
        if prices_from is not None and prices_from.tzinfo is None:
            prices_from = prices_from.replace(tzinfo=UTC)
        try:
            report = import_price_map(read_text(file), file_name=file.name, prices_from=prices_from)
        except OSError as error:
            raise CommandError(f"Cannot read {file}: {error.strerror or error}.") from error
        except (UnreadableFile, UnreadableText) as error:
            raise CommandError(f"{file} was not imported, and nothing was changed. {error}") from error
        if quiet:
            return
        say = self.stdout.write
        say(
            f"entries: {report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
            f"{len(report.refused)} refused, {len(report.ignored)} ignored"
        )
        if report.absent:
            say(f"  {report.absent} earlier entries are not in this file; they stay")
        say(
            f"models: {report.models_added} added, {report.models_changed} changed, "
            f"{report.models_unchanged} unchanged; {report.models_not_published} not published (drafts, retired, "
            f"or past their deprecation date); {report.models_unpriced} unpriced"
        )
        say(f"list prices: {report.prices_published} new or changed")
        if report.price_jumps:
            say(f"{len(report.price_jumps)} prices jumped; check whether they are right:")
        for name, jumped in report.price_jumps.items():
            say(f"jumped: {name!r}: {jumped}")
        for name, reason in report.prices_refused.items():
            say(f"unpriced: {name!r}: {reason}")
        for word, reasons in (("refused", report.refused), ("ignored", report.ignored)):
            for key, reason in reasons.items():
                say(f"{word}: {key!r} {reason}" if word == "refused" else f"{word}: {key!r}: {reason}")
        say(f"{monotonic() - begun:.1f} s")

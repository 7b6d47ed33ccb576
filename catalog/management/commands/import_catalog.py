"""`manage.py import_catalog [FILE]`: compare a file with the catalog, and accept what it says if wanted."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from catalog.actions import accept_entries, start_import
from catalog.models import CatalogImport, ImportEntry
from catalog.price_map.archives import texts_below
from catalog.price_map.formats import FORMATS
from catalog.price_map.reading import ReadFile, UnreadableFile
from catalog.price_map.vendor import VENDORED
from catalog.price_map.verdicts import in_words
from core.text_files import UnreadableText


def _content(file: Path, format: str) -> bytes | ReadFile:
    """What is to be read. Raises OSError and UnreadableFile."""
    read = FORMATS[format].read_files
    return read(texts_below(file)) if read and file.is_dir() else file.read_bytes()


class Command(BaseCommand):
    help = "Compare a file with the catalog. Nothing changes until somebody accepts it: here, or in the staff site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            nargs="?",
            type=Path,
            default=VENDORED,
            help="a file, plain or packed, or a directory of cards; default: the price map in this version",
        )
        parser.add_argument("--format", choices=sorted(FORMATS), default="litellm", help="default: litellm")
        parser.add_argument("--accept", action="store_true", help="accept what is not held back")
        parser.add_argument(
            "--accept-held", action="store_true", help="accept what is held back, too: you have looked at it"
        )
        parser.add_argument(
            "--prices-from",
            type=datetime.fromisoformat,
            metavar="2026-08-01",
            help="when (UTC) first list prices begin, for past usage; default: this hour",
        )
        parser.add_argument("--quiet", action="store_true", help="print nothing unless something goes wrong")

    def handle(
        self,
        *args: Any,
        file: Path,
        format: str,
        accept: bool,
        accept_held: bool,
        prices_from: datetime | None,
        quiet: bool,
        **options: Any,
    ) -> None:
        begun = monotonic()
        if prices_from is not None and prices_from.tzinfo is None:
            prices_from = prices_from.replace(tzinfo=UTC)
        try:
            run = start_import(_content(file, format), file_name=file.name, format=format, by=None)
        except OSError as error:
            raise CommandError(f"Cannot read {file}: {error.strerror or error}.") from error
        except (UnreadableFile, UnreadableText) as error:
            raise CommandError(f"{file} was not imported, and nothing was changed. {error}") from error
        if not quiet:
            self._say_what_differs(run)
        if (accept or accept_held) and run.state == CatalogImport.State.OPEN:
            decided = accept_entries(run.pk, by=None, may_take_held=accept_held, prices_from=prices_from)
            if not quiet:
                self._say_what_was_done(decided.run)
        elif not quiet and run.state == CatalogImport.State.OPEN:
            self.stdout.write("Nothing has changed. Accept it in the staff site, or with --accept.")
        if not quiet:
            self.stdout.write(f"{monotonic() - begun:.1f} s")

    def _say_what_differs(self, run: CatalogImport) -> None:
        say, counts = self.stdout.write, run.counts
        say(
            f"entries: {counts['added']} added, {counts['changed']} changed, {counts['unchanged']} unchanged, "
            f"{counts['refused']} refused, {counts['ignored']} ignored"
        )
        if counts["absent"]:
            say(
                f"  {counts['absent']} earlier entries are not in this file; they stay until somebody accepts that"
            )
        if counts["rejected_before"]:
            say(f"  {counts['rejected_before']} were rejected before, and are the same")
        if counts["held"]:
            say(f"{counts['held']} are held back; look at them:")
        for entry in (
            run.entries.filter(state=ImportEntry.State.HELD).exclude(kind="withdrawn").order_by("place")
        ):
            say(f"held back: {entry.key!r}: {'; '.join(map(in_words, entry.held_for))}")
        for key, reason in run.refused.items():
            say(f"refused: {key!r} {reason}")

    def _say_what_was_done(self, run: CatalogImport) -> None:
        say, done = self.stdout.write, run.outcome
        say(f"accepted: {done.get('accepted', 0)}")
        say(
            f"models: {done.get('models_added', 0)} added as drafts, {done.get('models_changed', 0)} changed; "
            f"{done.get('models_unpriced', 0)} unpriced"
        )
        say(f"list prices: {done.get('prices_published', 0)} new or changed")
        for name, reason in done.get("prices_refused", {}).items():
            say(f"unpriced: {name!r}: {reason}")

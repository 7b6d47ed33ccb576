"""manage.py verify_audit: prove the audit log, or name the first error."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from audit.anchors import AnchorFile, destination_of
from audit.verify import Broken, Proof, verify
from core.scope import platform_scope


class Command(BaseCommand):
    help = "Verify the audit log against its checkpoints; exit with 1 and name the first broken checkpoint or entry."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--against",
            metavar="CHECKPOINTS",
            help="exported checkpoints: a file, or s3://bucket/prefix; detects a truncated end",
        )

    def handle(self, *args: Any, against: str | None, verbosity: int, **options: Any) -> None:
        def show(proof: Proof) -> None:
            if verbosity > 1:
                self.stderr.write(f"{proof.entries} entries, {proof.checkpoints} checkpoints …")

        try:
            with platform_scope("verifying the audit log"):
                proof = verify(self.outside(against) if against else None, on_progress=show)
        except Broken as broken:
            raise CommandError(f"BROKEN. {broken}") from None
        if against and proof.checkpoints and not proof.compared:
            raise CommandError(
                f"{against} contains none of the {proof.checkpoints} checkpoints, so nothing was compared."
            )
        self.stdout.write(
            f"Proved: {proof.entries} entries in {proof.checkpoints} checkpoints"
            f"{f', {proof.redacted} of them with erased words' if proof.redacted else ''}"
            f"{f'; {proof.pruned} more are past retention' if proof.pruned else ''}"
            f"{f'; {proof.pending} have no checkpoint yet' if proof.pending else ''}"
            f"{f'; {proof.compared} checkpoints match {against}' if against else ''}."
        )
        if proof.checkpoints:
            self.stdout.write(f"Checkpoint {proof.checkpoints}: {proof.last_checkpoint}")
        if against is None:
            self.stdout.write("Only --against exported checkpoints detects a truncated audit log.")

    def outside(self, against: str) -> Iterator[dict[str, Any]]:
        """The exported checkpoints in order. Raises CommandError if they cannot be read."""
        try:
            store = destination_of(against) if "://" in against else AnchorFile(Path(against).absolute())
            for line in store.lines():
                yield {"number": int(line["number"]), "sha256": str(line["sha256"])}
        except (OSError, ValueError, LookupError, TypeError, BotoCoreError, ClientError) as error:
            raise CommandError(f"The exported checkpoints cannot be read: {error}") from error
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error

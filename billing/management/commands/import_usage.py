"""Import a usage file into the ledger: `manage.py import_usage FILE --format azure|mooncake|servegen|jsonl …`."""

from __future__ import annotations

import lzma
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.timezone import now

from billing.imports import Assignment, BadFile, Demo, OneProject, earlier_assignment, import_usage, undated
from billing.traces import FORMATS
from core.errors import Conflict
from tenants.models import Project, Tenant

# Maximum number of bad lines to list; all are counted.
SHOWN = 50


class Command(BaseCommand):
    """Reads .gz, .xz and plain files. Imports the whole file, or nothing if any line is bad."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--format", required=True, choices=sorted(FORMATS))
        parser.add_argument(
            "--assign", choices=["demo"], help="distribute over the demo's tenants by its rule"
        )
        parser.add_argument(
            "--until", type=_moment, help="with --assign demo: when the last day ends (default: now)"
        )
        parser.add_argument("--tenant", help="slug of the tenant whose usage it is")
        parser.add_argument("--project", default="", help="slug")
        parser.add_argument("--model", default="", help="public name")
        parser.add_argument("--start", type=_moment, help="when a trace without dates begins")

    def handle(self, **options: Any) -> None:
        path, format_name = options["file"], options["format"]
        if not path.is_file():
            raise CommandError(f"There is no file {path}.")
        started = time.monotonic()
        try:
            _, receipt = import_usage(path, format_name, self.assignment(**options))
        except BadFile as error:
            for line in error.bad_lines[:SHOWN]:
                self.stderr.write(f"{path}:{line.line}: {line.reason}")
            if len(error.bad_lines) > SHOWN:
                self.stderr.write(f"… and {len(error.bad_lines) - SHOWN} more")
            raise CommandError(str(error)) from None
        except Conflict as error:
            raise CommandError(error.message) from None
        except (EOFError, OSError, lzma.LZMAError) as error:
            raise CommandError(f"{path} is not readable: {error}. Nothing was imported.") from error
        seconds = time.monotonic() - started
        added = f"{receipt.recorded:,} calls added" if receipt.recorded else "nothing added"
        self.stdout.write(
            f"{path.name}: {added}, {receipt.repeated:,} were already there, {receipt.quarantined:,} "
            f"quarantined, in {seconds:.1f} s"
        )

    def assignment(self, **options: Any) -> Assignment:
        """The assignment of the calls that the options describe."""
        if options["assign"] == "demo":
            earlier = earlier_assignment(options["file"], options["format"]) or {}
            if options["until"] is None and earlier.get("rule") == "demo":
                return Demo(datetime.fromisoformat(earlier["until"]))
            return Demo(options["until"] or now())
        if not options["tenant"]:
            raise CommandError("Give the owner of the usage: --tenant and --project, or --assign demo.")
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        project = Project.objects.in_tenant(tenant).filter(slug=options["project"]).first()
        if project is None and (options["project"] or options["format"] != "jsonl"):
            raise CommandError(f"{tenant.slug} has no project {options['project'] or '(give --project)'}.")
        if not options["model"] and options["format"] != "jsonl":
            raise CommandError("Give the model: --model NAME.")
        if undated(options["format"]) and not options["start"]:
            raise CommandError("This format has no dates. Give the beginning: --start 2026-10-01T00:00Z.")
        return OneProject(
            tenant, project, options["model"], options["start"] if undated(options["format"]) else None
        )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

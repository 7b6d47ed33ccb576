"""Write a tenant's cost report as CSV, without the queue: `manage.py export_costs TENANT MONTH [--output FILE]`."""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from billing.cost_reports import ask_for_cost_report
from core.addresses import address_or_none
from core.local_days import end_of_month, read_month
from exports.building import build_export
from exports.files import path_of
from exports.models import Export
from tenants.models import Tenant


class Command(BaseCommand):
    """The same report, permission checks and audit entries as on the pages, built immediately."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="slug")
        parser.add_argument("month", help="2026-10")
        parser.add_argument(
            "--as", dest="email", required=True, help="e-mail address of the person who orders it"
        )
        parser.add_argument(
            "--format",
            default=Export.Format.PLAIN,
            choices=Export.Format.values,
            help="format of the file",
        )
        parser.add_argument("--output", type=Path, help="default: standard output")

    def handle(self, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug=options["tenant"]).first()
        user = User.objects.filter(email=address_or_none(options["email"]), is_active=True).first()
        if tenant is None:
            raise CommandError(f"There is no tenant {options['tenant']}.")
        if user is None:
            raise CommandError(f"There is no person {options['email']}.")
        try:
            first = read_month(options["month"])
        except ValueError:
            raise CommandError(f"{options['month']} is not a month; write 2026-10.") from None
        export = ask_for_cost_report(
            tenant, start_day=first, end_day=end_of_month(first), by=user, csv_format=options["format"]
        )
        build_export(export.pk)
        export = Export.objects.in_tenant(tenant).get(pk=export.pk)
        if export.state != Export.State.DONE:
            raise CommandError(export.error or "Another process is building this report. Try again.")
        if options["output"]:
            shutil.copyfile(path_of(export), options["output"])
        else:
            sys.stdout.write(path_of(export).read_text(encoding="utf-8"))
        self.stderr.write(
            f"{export.rows_total:,} rows, {export.total:f} {export.currency}, SHA-256 {export.sha256}"
        )

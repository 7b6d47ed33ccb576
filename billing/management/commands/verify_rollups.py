"""manage.py verify_rollups: compare sums by month, tenant day, and key and month with their days."""

from __future__ import annotations

from argparse import ArgumentParser
from itertools import islice
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from billing.sum_checks import wrong_sums
from core.scope import platform_scope, tenant_scope
from tenants.models import Tenant

# Maximum number of wrong sums to list.
MOST: Final = 50


class Command(BaseCommand):
    help = "Prove that kept sums are those of their days; exit with 1 and name the ones that are not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", metavar="SLUG", help="only this tenant's")

    def handle(self, *args: Any, tenant: str | None, **options: Any) -> None:
        with platform_scope("verifying rollups"):
            tenants = list(Tenant.objects.order_by("slug"))
        if tenant is not None and not (tenants := [each for each in tenants if each.slug == tenant]):
            raise CommandError(f"There is no tenant {tenant}.")
        wrong = 0
        for each in tenants:
            with tenant_scope(each.pk):
                found = list(wrong_sums(each))
            for one in islice(found, max(0, MOST - wrong)):
                self.stderr.write(str(one))
            wrong += len(found)
        if wrong:
            first = f"; the first {MOST} are named" if wrong > MOST else ""
            raise CommandError(f"WRONG. Sums that are not those of their days: {wrong}{first}.")
        self.stdout.write(f"Proved: the sums of {len(tenants)} tenants are those of their days.")

"""Measure the console with 2,000 tenants, one of them with 20,000 keys and a fifth of 20 million calls.

    python -m benchmarks.scale [--events 20000000] [--only 12,14] [--rounds 5] [--directory .local/scale]

Builds the large database once for each size and keeps it (benchmarks/large_tenant.py); with `--events 2000000` that
takes two minutes. Everything runs as the console's role, with row-level security. The table shows processor time in
milliseconds, of the console and of its database connection's server process: the median of the rounds after one that
warms up. Then it shows the number of queries and the size of the answer. Other numbers have their unit. A run of full
size also shows the numbers from before the optimization (benchmarks/scale_before.json); `*` marks those that were only
reported.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import config, scale_ledger
from benchmarks.figures import Figures, Row, Table
from benchmarks.large_tenant import LARGE, ORDINARY, Size, open_large

DIRECTORY = Path(".local/scale")
BAR_MILLISECONDS = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=Size.events)
    parser.add_argument(
        "--other-keys", type=int, default=Size.other_keys, help="keys of each ordinary tenant"
    )
    parser.add_argument("--only", default="", help="comma-separated items, such as 12,14")
    parser.add_argument("--match", default="", help="rows whose name contains this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=DIRECTORY)
    parser.add_argument("--postgres", type=int, help="major version, for a new --directory")
    parser.add_argument("--save", type=Path, help="write what was measured to this file")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        size = Size(events=options.events, other_keys=options.other_keys)
        open_large(stack, size, options.directory, options.postgres)
        run(options)


def run(options: argparse.Namespace) -> None:
    table = Table(
        with_before=options.events == Size.events,
        only=set(filter(None, options.only.split(","))),
        match=options.match,
        rounds=options.rounds,
    )
    table.print(rows())
    if options.save:
        table.save(options.save)


def rows() -> Iterator[Row | Figures]:
    """Yield everything to measure. Each part of the table is a generator, here or in its own module."""
    yield from statements()
    yield from config.rows(changes=20)
    yield from pages()
    yield from scale_ledger.rows()


def statements() -> Iterator[Row]:
    """Yield item 12: statements of the large and an ordinary tenant, in the scopes of a page and of an operator."""
    from datetime import timedelta

    from billing.costs import cost_report, cost_rows, today_of
    from core.scope import platform_scope, tenant_scope
    from tenants.models import ApiKey, Tenant

    def in_scope(tenant: Tenant, work: Callable[[], Any]) -> Callable[[], bytes]:
        def run() -> bytes:
            with tenant_scope(tenant.pk):
                return str(len(work())).encode()

        return run

    for slug in (LARGE, ORDINARY):
        tenant = Tenant.objects.get(slug=slug)
        today = today_of(tenant)
        last = today.replace(day=1) - timedelta(days=1)
        quarter, month, last_month = (
            (tenant, today - timedelta(days=89), today),
            (tenant, today.replace(day=1), today),
            (tenant, last.replace(day=1), last),
        )
        keys = ApiKey.objects.in_tenant(tenant).with_names().order_by("-pk")
        works: dict[str, Callable[[], Any]] = {
            "90 days by model": partial(cost_rows, *quarter, ["model"]),
            "90 days by project": partial(cost_rows, *quarter, ["project"]),
            "report of a month": lambda days=last_month: [cost_report(*days)],
            "this month by key": partial(cost_rows, *month, ["key"]),
            "newest keys": lambda keys=keys: list(keys.all()[:26]),
        }
        for name, work in works.items():
            yield Row("12", f"{slug}: {name}", in_scope(tenant, work))

    def newest() -> bytes:
        with platform_scope("benchmark", is_routine=True):
            rows = (
                ApiKey.objects.across_tenants()
                .select_related("tenant", "project")
                .order_by("-created_at")[:101]
            )
            return str(len(rows)).encode()

    yield Row("12", "platform: newest keys with names", newest)


PORTAL = [
    "", "cost/", "cost/?project=project-0", "cost/?month={month}", "cost/?month=last-12",
    "cost/?month=last-12&project=project-0", "keys/", "keys/?q=service+1", "requests/",
    "requests/?tab=closed", "projects/", "projects/{project}/limits/", "projects/{project}/limits/?q=service+1",
    "projects/{project}/edit/", "members/", "members/?q=person-1", "members/{member}/", "members/{member}/remove/",
    "models/", "models/?q=gpt", "models/{model}/", "models/{model}/request/", "exports/", "exports/new/", "audit/",
    "tokens/", "tokens/new/", "settings/", "suggestions/projects/?q=project-1", "suggestions/members/?q=person-1",
    "suggestions/keys/?q=service+1",
]  # fmt: skip
API = [
    "keys/", "projects/", "projects/{project}/limits/", "limits/", "access-requests/", "grants/", "members/",
    "tenants/", "models/", "exports/",
    "costs/?tenant={tenant}&start={start}&end={end}&group_by=day,model",
    "costs/?tenant={tenant}&start={start}&end={end}&group_by=key,day",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=month,model",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=month,project",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=day,model",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=day,key",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=key",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=key,month",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=month,key",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=month,project,key",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=month,model,key",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=project,key",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=model,key",
    "costs/?tenant={tenant}&start={year_ago}&end={today}&group_by=key&project=project-0",
]  # fmt: skip


def pages() -> Iterator[Row]:
    """Yield item 14: pages and lists of the large tenant, of an ordinary one, and of the admin."""
    for slug in (LARGE, ORDINARY):
        places = places_of(slug)
        for page in PORTAL:
            yield asked(f"owner@{slug}.example", f"/t/{slug}/{page}", places)
    for page in API:
        yield asked(f"owner@{LARGE}.example", f"/api/v1/{page}", places_of(LARGE))
    for page in admin_pages():
        yield asked("root@staff.example", page, {})


def places_of(slug: str) -> dict[str, Any]:
    """Return the values for the placeholders in the addresses of a tenant's pages."""
    from datetime import timedelta

    from billing.costs import today_of
    from tenants.models import ApiKey, Membership, Project, Tenant

    tenant = Tenant.objects.get(slug=slug)
    today = today_of(tenant)
    last = today.replace(day=1) - timedelta(days=1)
    return {
        "tenant": slug,
        "project": Project.objects.in_tenant(tenant).get(slug="project-0").pk,
        "member": Membership.objects.in_tenant(tenant).get(user__email=f"person-1@{slug}.example").pk,
        "model": ApiKey.objects.in_tenant(tenant).first().model_names[0],
        "month": f"{last:%Y-%m}",
        "start": last.replace(day=1),
        "end": last,
        "year_ago": (today - timedelta(days=334)).replace(day=1),
        "today": today,
    }


def admin_pages() -> Iterator[str]:
    """Yield every list of the admin, its search if it has one, the page of one row, and forms that add a row."""
    from django.contrib import admin
    from django.test import RequestFactory
    from django.urls import reverse

    from accounts.models import User
    from tenants.models import Tenant

    if not User.objects.filter(email="root@staff.example").exists():
        User.objects.create_superuser("root@staff.example")
    request = RequestFactory().get("/")
    request.user = User.objects.get(email="root@staff.example")
    for model, desk in sorted(admin.site._registry.items(), key=lambda pair: pair[0]._meta.label_lower):
        place = f"{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"admin:{place}_changelist")
        if desk.search_fields:
            yield reverse(f"admin:{place}_changelist") + "?q=person-1"
        if desk.has_add_permission(request):
            yield reverse(f"admin:{place}_add")
        rows = model._base_manager.order_by("pk")
        row = rows.filter(slug=LARGE).first() if model is Tenant else rows.first()
        if row is not None:
            yield reverse(f"admin:{place}_change", args=[row.pk])


CLIENTS: dict[str, Any] = {}


def asked(email: str, address: str, places: dict[str, Any]) -> Row:
    """Return a row that requests a page as the person with this e-mail address, with the test client."""

    def ask() -> bytes:
        from django.test import Client

        from accounts.models import User

        if email not in CLIENTS:
            CLIENTS[email] = Client()
            CLIENTS[email].force_login(User.objects.get(email=email))
        answer = CLIENTS[email].get(address.format(**places))
        if answer.status_code != 200:
            raise RuntimeError(f"answers {answer.status_code}")
        return b"".join(answer) if answer.streaming else bytes(answer.content)

    return Row("14", address, ask, BAR_MILLISECONDS)


if __name__ == "__main__":
    main()

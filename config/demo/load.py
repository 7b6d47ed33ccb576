"""The data that `manage.py load_demo` puts into an installation: tenants, people, the catalog, three months of real
traffic, a cluster with one engine, and the file that tells its owner how to sign in.

Every step checks what exists, so that a second run, or one after a crash, adds only what is missing.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import transaction

import audit
from accounts.actions import make_staff
from accounts.models import User
from billing.demo_rule import DEMO_TENANTS
from billing.periods import post_cost_lines
from billing.prices import publish_prices
from catalog.actions import publish_models
from catalog.actions.versions import add_version
from catalog.models import CatalogModel, ModelVersion
from catalog.rules import RiskTier
from config.demo.past import load_past, note_last_use
from config.demo.people import HIGHEST_DATA_CLASS, PEOPLE, DemoPerson
from config.demo.provider import load_provider
from config.demo.waiting import load_waiting
from core.secrets import digest
from deployments.actions import add_cluster, create_deployment
from deployments.models import Cluster, Deployment
from deployments.routes import change_route, plan_with, route_of
from tenants import actions
from tenants.models import DataClass, PersonalAccessToken, Project, Tenant

Say = Callable[[str], object]

DEMO_MODEL = "quartermaster-demo-1"
DEMO_DEPLOYMENT = "demo-engine"
TRACES = [
    ("azure", "azure2023_conv.csv.gz"),
    ("mooncake", "mooncake_conversation_trace.jsonl.gz"),
    ("servegen", "servegen_deepseek-r1_events.csv.xz"),
]
TOKEN_LIFE = timedelta(days=365)


def load_demo(say: Say, *, now: datetime | None = None) -> None:
    """Load everything, reporting progress to `say`. Safe to repeat."""
    now = now or datetime.now(UTC)
    begins = first_of_month(now, months_back=4)
    say("Tenants, projects and people")
    load_people()
    say("Catalog: the public price map")
    call_command("import_catalog", accept_held=True, prices_from=begins)
    drafts = CatalogModel.objects.filter(lifecycle=CatalogModel.Lifecycle.DRAFT)
    # The price map states no data policy, and nothing serves most of these models.
    publish_models(drafts.values_list("pk", flat=True), by=None, despite="demo")
    load_demo_model(begins)
    load_past(begins)
    say("Usage: three real traces, spread over three months")
    for form, name in TRACES:
        call_command(
            "import_usage", settings.BASE_DIR / "billing" / "data" / name, format=form, assign="demo"
        )
    note_last_use()
    for tenant in Tenant.objects.all():
        post_cost_lines(tenant)
    say("Gateway, cluster and engine")
    keys_file = settings.LOCAL_DIR / "gateway" / "config-keys"
    call_command("register_gateway", os.environ.get("GATEWAY_ID", "local"), keys_file=keys_file)
    load_engine()
    load_provider(begins)
    load_waiting()
    write_installation_file(settings.LOCAL_DIR / "demo.json")


def first_of_month(moment: datetime, *, months_back: int) -> datetime:
    """Midnight UTC on the first day of the month `months_back` months before that of `moment`."""
    index = moment.year * 12 + moment.month - 1 - months_back
    return datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC)


@transaction.atomic
def load_people() -> None:
    """Make the demo's tenants, projects, members and staff, with passwords that nobody knows yet."""
    for row in DEMO_TENANTS:
        tenant = Tenant.objects.filter(slug=row.slug).first() or actions.create_tenant(
            by=None,
            slug=row.slug,
            name=row.name,
            timezone=row.timezone,
            highest_data_class=HIGHEST_DATA_CLASS[row.slug],
        )
        for slug, name, cost_centre in row.projects:
            if not Project.objects.in_tenant(tenant).filter(slug=slug).exists():
                actions.create_project(tenant, by=None, slug=slug, name=name, cost_centre=cost_centre)
    for person in PEOPLE:
        user, _ = User.objects.get_or_create(email=person.email, defaults={"name": person.name})
        if person.tenant is None:
            if person.role not in user.staff_roles:
                make_staff(user, person.role, by=None)
        else:
            actions.add_member(Tenant.objects.get(slug=person.tenant), user, person.role, by=None)


@transaction.atomic
def load_demo_model(valid_from: datetime) -> None:
    """Make the only model that really answers here: our demo engine, which says that it is not a language model."""
    model, is_new = CatalogModel.objects.get_or_create(
        name=DEMO_MODEL,
        defaults={
            "title": "Quartermaster demo engine",
            "maker": "Quartermaster",
            "description": (
                "A small program that speaks OpenAI's protocol and answers with fixed sentences. It is "
                "not a language model. It lets you try keys, limits and costs without a GPU."
            ),
            "mode": "chat",
            "context_tokens": 32_768,
            "max_output_tokens": 4_096,
            "capabilities": {"streaming": True, "prompt_caching": True},
            "providers": ["quartermaster"],
            "hosting": CatalogModel.Hosting.OURS,
            "lifecycle": CatalogModel.Lifecycle.PUBLISHED,
            "risk_tier": RiskTier.LOW,
            "highest_data_class": DataClass.RESTRICTED,
            "source": "demo",
            "search_text": f"{DEMO_MODEL} quartermaster demo engine chat embedding",
        },
    )
    if is_new:
        audit.record("model.published", actor=None, subject=model)
    publish_prices(
        DEMO_MODEL,
        {"input": Decimal("0.15"), "cache_read": Decimal("0.075"), "output": Decimal("0.60")},
        valid_from=valid_from,
        reason="Demo price list",
        by=None,
    )
    if not model.versions.filter(version="1").exists():
        values = {
            "upstream_name": DEMO_MODEL,
            "image": "quartermaster/demo-engine:1",
            "command": [
                *("python", "-m", "deployments.engine"),
                *("--host", "{host}", "--port", "{port}", "--model", "{model}"),
            ],
            "memory": "512Mi",
            "endpoints": ["chat", "embedding"],
        }
        add_version(model=DEMO_MODEL, org="quartermaster", version="1", values=values, by=None)


@transaction.atomic
def load_engine() -> None:
    """Make a cluster of local processes, request one replica of the demo model on it, and route the model to it."""
    cluster = Cluster.objects.filter(name="local").first() or add_cluster(
        Cluster(name="local", driver=Cluster.Driver.LOCAL), by=None
    )
    if not Deployment.objects.filter(name=DEMO_DEPLOYMENT, is_deleted=False).exists():
        version = ModelVersion.objects.get(model__name=DEMO_MODEL)
        deployment = create_deployment(version, cluster, 1, DEMO_DEPLOYMENT, by=None)
        route = route_of(version.model)
        change_route(route.pk, plan_with(route, deployment.target), based_on=route.generation, by=None)


def write_installation_file(path: Path) -> None:
    """Write addresses, accounts, passwords and tokens to `path`, mode 600; keep those that it already holds.

    Passwords and tokens are random for each installation. People in the file whose entries no longer work (because
    the database was made anew) get new ones.
    """
    known = {account["email"]: account for account in _read(path).get("accounts", [])}
    accounts = [_account(person, known.get(person.email)) for person in PEOPLE]
    text = json.dumps(
        {"console": settings.CONSOLE_URL, "gateway": settings.GATEWAY_URL, "accounts": accounts}, indent=1
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    draft.replace(path)


def _account(person: DemoPerson, known: dict[str, Any] | None) -> dict[str, Any]:
    user = User.objects.get(email=person.email)
    password = known["password"] if known else secrets.token_urlsafe(9)
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    token = known["token"] if known else ""
    if not PersonalAccessToken.objects.filter(user=user, digest=digest(token), revoked_at=None).exists():
        tenant = Tenant.objects.get(slug=person.tenant) if person.tenant else None
        _, token = actions.issue_personal_access_token(user, name="demo", life=TOKEN_LIFE, tenant=tenant)
    return {
        "email": person.email,
        "password": password,
        "token": token,
        "role": str(person.role),
        "tenant": person.tenant,
        "name": person.name,
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}

"""One Chromium for the session, one running product for the package, and a house with people in it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils.timezone import now
from playwright.sync_api import expect

from billing.prices import publish_prices
from core.ids import uuid7
from tests.browser.looking import chromium, watched_page
from tests.factories import (
    ApiKeyFactory,
    CatalogModelFactory,
    ModelVersionFactory,
    ProjectFactory,
    TenantFactory,
    member_of,
    staff,
)
from tests.stack import Stack
from tests.usage_records import usage_record

PASSWORD = "correct horse battery staple"  # UserFactory's
# As the browser asks for it, and as the page says it.
LANGUAGES = {"en": "en", "zh-CN": "zh-hans"}
MODEL, OTHER = "harbour-chat-1", "harbour-letters"
INPUT_PRICE, OUTPUT_PRICE = Decimal("2.50"), Decimal("10.00")  # USD per million tokens

# Playwright's synchronous interface runs an event loop in this thread, where Django would refuse its database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="package")
def browser():
    """A Chromium. While it lives an event loop runs in this thread, so it ends with the package that needs it.

    Within a loop Django has connections of its own (asgiref's Local), and `renew_clone` closes only those. One that was
    open before would be ended by force with its database, and found dead by the next test outside of the loop.
    """
    connection.close()
    with chromium() as browser:
        expect.set_options(timeout=30_000)
        yield browser


@pytest.fixture(scope="package")
def running_stack(django_db_setup, django_db_blocker):
    """A `Stack` with every process ready; the tests of this package share it."""
    from tests.databases import renew_clone

    with django_db_blocker.unblock():
        stack = Stack()
        try:
            stack.start_all()
            yield stack
        finally:
            stack.close()
            renew_clone()


def month_before_this():
    return (now().date().replace(day=1) - timedelta(days=1)).replace(day=1)


@dataclass
class House:
    """A tenant with two projects, its people, two priced models, and what they cost last month."""

    stack: Stack
    tenant: object
    project: object
    people: dict = field(default_factory=dict)
    # It stays the one with the calls, though another month may begin.
    last_month: date = field(default_factory=month_before_this)

    @property
    def home(self):
        return f"{self.stack.console}/t/{self.tenant.slug}/"

    @contextmanager
    def visit(self, browser, role, **options):
        """A watched page of `role`, signed in as people do: by the form. Fails if the page complained."""
        with watched_page(browser, origin=self.stack.console, **options) as (page, seen):
            page.set_default_timeout(60_000)
            page.goto(
                f"{self.stack.console}/{'login/' if role in TENANT_ROLES else 'admin/login/?next=/admin/'}"
            )
            # In any language.
            page.locator("input[name=username]").fill(self.people[role].email)
            page.locator("input[name=password]").fill(PASSWORD)
            page.locator("input[name=password]").press("Enter")
            page.wait_for_url(lambda address: "login" not in address)
            yield page, seen
            assert seen.complaints == []
            assert seen.elsewhere == []


TENANT_ROLES = ("developer", "owner")


@pytest.fixture(scope="package")
def house(running_stack):
    tenant = TenantFactory(slug="harbour-bank", name="Harbour Bank", timezone="UTC")
    project = ProjectFactory(tenant=tenant, slug="letters", name="Letters")
    ProjectFactory(tenant=tenant, slug="claims", name="Claims")
    house = House(running_stack, tenant, project)
    for role in TENANT_ROLES:
        house.people[role] = member_of(tenant, role, name=f"{role.title()} of Harbour")
    for role in ("security-reviewer", "cost-reviewer", "controller", "operator"):
        house.people[role] = staff(role, name=f"{role.title()} of the platform")
    for name, title, hosting in ((MODEL, "Harbour Chat 1", "ours"), (OTHER, "Harbour Letters", "vendor")):
        model = CatalogModelFactory(
            name=name, title=title, maker="Harbour", hosting=hosting, context_tokens=32_768, risk_tier="low",
            description="Answers letters of customers.", search_text=f"{name} {title}",
            capabilities={"streaming": True}, regions=[],
        )  # fmt: skip
        ModelVersionFactory(model=model)
        publish_prices(
            name, {"input": INPUT_PRICE, "output": OUTPUT_PRICE},
            valid_from=datetime(2026, 1, 1, tzinfo=UTC), reason="List price", by=None,
        )  # fmt: skip
    record_usage_of(house.last_month, ApiKeyFactory(tenant=tenant, project=project, name="older"))
    return house


def record_usage_of(month, key):
    """Calls of both models on seven days of a month, none of a round price."""
    from billing.ingest import record_usage

    first = datetime(month.year, month.month, 1, 9, tzinfo=UTC)
    calls = [
        usage_record(
            event_id=uuid7(), key_id=key.pk, model=(MODEL, OTHER)[n % 2],
            occurred_at=first + timedelta(days=n % 7, minutes=n), input=100_003 + n, output=20_011 * (n % 3 + 1),
        )
        for n in range(42)
    ]  # fmt: skip
    assert record_usage("test", calls).recorded == len(calls)

"""Whatever happens in whatever order: everything plus all changes is exactly everything of later."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils.timezone import now
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.models import BilledModel, Price, Sku
from gateway import actions
from gateway.models import ConfigClock
from tenants.actions import change_tenant, set_limits
from tenants.models import ApiKey, Tenant
from tenants.revision import current_revision, raise_revision
from tests.factories import CatalogModelFactory, ProjectFactory, TenantFactory, staff
from tests.gateway.control_indexes import (
    assert_same,
    changed,
    everything,
    rolled_back,
)
from tests.gateway.granted import RouteEntryFactory, grant, key_for

STEPS = (
    "claim", "revoke", "suspend_key", "restore_key", "narrow", "grant", "end_grant", "expire", "tenant_limit",
    "project_limit", "key_limit", "drop_limit", "suspend_tenant", "resume_tenant", "route", "price", "begin_grant",
    "move", "unnamed", "tell",
)  # fmt: skip


class World:
    """Three tenants, and what happens to them by rows, each change naming what it changes."""

    def __init__(self, dice):
        self.dice = dice
        self.operator = staff("operator")
        self.tenants = [TenantFactory() for _ in range(3)]
        self.projects = [ProjectFactory(tenant=tenant) for tenant in self.tenants for _ in range(2)]
        self.models = [CatalogModelFactory() for _ in range(4)]
        self.keys = [key_for(project, *dice.sample(self.models, 2)) for project in self.projects]
        ConfigClock.objects.get_or_create(pk=1, defaults={"announced_until": now()})
        raise_revision()

    def step(self, name):
        getattr(self, name)(self.dice.choice(self.keys), self.dice.choice(self.models))

    def _set(self, key, **fields):
        ApiKey.objects.across_tenants().filter(pk=key.pk).update(**fields)
        raise_revision(keys=[key.pk])

    def claim(self, key, model):
        self.keys.append(key_for(key.project, model))
        raise_revision(keys=[self.keys[-1].pk], projects=[key.project_id])

    def revoke(self, key, model):
        self._set(key, state="revoked", revoked_at=now())

    def suspend_key(self, key, model):
        self._set(key, suspended_at=now())

    def restore_key(self, key, model):
        self._set(key, suspended_at=None)

    def narrow(self, key, model):
        self._set(key, model_names=[model.name])

    def expire(self, key, model):
        self._set(key, expires_at=now() - timedelta(seconds=self.dice.choice([-1000, 1])))

    def grant(self, key, model):
        grant(key, model)
        raise_revision(projects=[key.project_id])

    def begin_grant(self, key, model):
        """By the clock: nobody but the task says so."""
        grant(key, model, valid_from=now() - timedelta(seconds=1))
        ConfigClock.objects.update(announced_until=now() - timedelta(seconds=5))
        actions.announce_what_the_clock_changed()

    def end_grant(self, key, model):
        key.project.grants.filter(model=model, revoked_at=None).update(revoked_at=now())
        raise_revision(projects=[key.project_id])

    def _limit(self, on, model, **place):
        if Tenant.objects.get(pk=on.tenant_id).status != "active":
            return
        model = self.dice.choice(["", model.name])
        values = {self.dice.choice(["tokens_per_day", "money_per_month", "concurrent_calls"]): Decimal(
            self.dice.randint(1, 9)
        )}  # fmt: skip
        set_limits(on.tenant, values, by=None, model=model, **place)

    def tenant_limit(self, key, model):
        self._limit(key, model)

    def project_limit(self, key, model):
        self._limit(key, model, project=key.project)

    def key_limit(self, key, model):
        self._limit(key, model, key=key)

    def drop_limit(self, key, model):
        if Tenant.objects.get(pk=key.tenant_id).status == "active":
            nothing = dict.fromkeys(["tokens_per_day", "money_per_month", "concurrent_calls"])
            set_limits(key.tenant, nothing, by=None, key=key)
            set_limits(key.tenant, nothing, by=None)

    def suspend_tenant(self, key, model):
        Tenant.objects.filter(pk=key.tenant_id).update(
            status="suspended", suspended_at=now(), suspended_reason="test"
        )
        raise_revision(tenants=[key.tenant_id])

    def resume_tenant(self, key, model):
        Tenant.objects.filter(pk=key.tenant_id).update(
            status="active", suspended_at=None, suspended_reason=""
        )
        raise_revision(tenants=[key.tenant_id])

    def route(self, key, model):
        RouteEntryFactory()
        raise_revision(routing=True)

    def price(self, key, model):
        billed, _ = BilledModel.objects.get_or_create(name=model.name)
        sku, is_new = Sku.objects.get_or_create(model=billed, kind="input")
        if is_new:
            begin = now().replace(minute=0, second=0, microsecond=0)
            Price.objects.create(
                sku=sku, valid=(begin, None), per_million=Decimal(1), currency="USD", reason="test"
            )
        raise_revision(routing=True)

    def move(self, key, model):
        tenant = Tenant.objects.get(pk=key.tenant_id)
        if tenant.status == "active":
            zone = self.dice.choice(["UTC", "Europe/Berlin", "Asia/Tokyo"])
            change_tenant(tenant.pk, by=self.operator, timezone=zone)

    def unnamed(self, key, model):
        raise_revision()


@pytest.mark.django_db
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=25), seed=st.integers(0, 2**32))
def test_everything_and_all_changes_since_is_everything_of_now(steps, seed):
    with rolled_back():
        world = World(random.Random(seed))
        index = everything()
        for name in [*steps, "tell"]:
            if name != "tell":
                world.step(name)
                continue
            newer = changed(index) if current_revision() > index.revision else index
            if newer is None:
                assert "unnamed" in steps
                newer = everything()
            index = newer
            assert_same(index)

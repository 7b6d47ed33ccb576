"""Two consoles that can go away from a gateway: the tests' stand-in, and the real one with its PostgreSQL."""

from datetime import UTC, datetime
from typing import NamedTuple

import requests

from tests.gateway.proxy_fixtures import ENGINE_MODEL, MODEL, Engine, limit

# Other tests of a running stack have models, too.
_OUTSIDE_MODEL = "aurora-outside"
_MANY = 10_000_000


class Entry(NamedTuple):
    """A call in the ledger, with as many tokens as its caller saw."""

    call_id: str
    status: str
    tokens: int
    is_exact: bool


class StandInConsole:
    """The stand-in of a `Rig`. Its ledger is what came, as often as it came."""

    def __init__(self, rig):
        self._rig = rig
        self.gateway_url, self.model = rig.gateway.url, MODEL

    def steady_keys(self, count):
        """So many keys that do not end."""
        return [self._rig.new_key(limits=[limit("requests_per_minute", _MANY)]) for _ in range(count)]

    def ending_keys(self, ends):
        """A key that ends at the second `ends`, and one whose grant does."""
        return {
            "key": self._rig.new_key(expires_at=ends),
            "grant": self._rig.new_key(grant_ends={MODEL: ends}),
        }

    def go_away(self):
        self._rig.control.down()

    def come_back(self):
        self._rig.control.up()

    def waiting(self):
        """How many calls the gateway has not sent yet."""
        return self._rig.gateway.metric("llm_gateway_spool_pending")

    def ledger(self):
        """All calls of these keys, a call as often as it is in the ledger."""
        return [
            Entry(event.call_id, event.status, event.tokens, event.is_exact)
            for event in self._rig.control.deliveries
        ]


class RealConsole:
    """The console of a running `Stack`: it is killed, as the kernel would, and later started again.

    Its tenant, projects, keys and grants are rows, and its model is that of a provider, which is an engine.
    """

    def __init__(self, stack, directory):
        from deployments.routes import EntryPlan, change_route, make_routable
        from tests.factories import (
            CatalogModelFactory,
            ProjectFactory,
            ProviderFactory,
            ProviderModelFactory,
            TenantFactory,
            allow_loopback,
        )

        self._stack = stack
        self.gateway_url, self.model = stack.gateway, _OUTSIDE_MODEL
        self._engine = Engine(directory)
        allow_loopback()
        provider = ProviderFactory(base_url=f"{self._engine.url}/v1", highest_data_class="restricted")
        self._row = CatalogModelFactory(name=self.model, mode="chat")
        listed = ProviderModelFactory(provider=provider, model=self._row, name=ENGINE_MODEL)
        make_routable([listed])
        change_route(self._row.route.pk, [EntryPlan(listed.target.pk)], based_on=0, by=None)
        self._tenant = TenantFactory()
        self._project = ProjectFactory(tenant=self._tenant)

    def steady_keys(self, count):
        """So many keys that do not end."""
        from tenants.actions import set_limits

        keys = [self._key(self._project) for _ in range(count)]
        for key, _ in keys:
            set_limits(self._tenant, {"requests_per_minute": _MANY}, by=None, key=key)
        self._publish()
        return [secret for _, secret in keys]

    def ending_keys(self, ends):
        """A key that ends at the second `ends`, and one whose grant does."""
        from tests.factories import ProjectFactory

        at = datetime.fromtimestamp(ends, UTC)
        # Of the grants of a project, the one that ends last counts.
        apart = ProjectFactory(tenant=self._tenant)
        ending = {
            "key": self._key(self._project, expires_at=at)[1],
            "grant": self._key(apart, granted_until=at)[1],
        }
        self._publish()
        return ending

    def _key(self, project, granted_until=None, **fields):
        """A key with its grant, and its secret."""
        from core.secrets import new_key_secret
        from tests.factories import ApiKeyFactory
        from tests.gateway.granted import grant

        secret = new_key_secret()
        key = ApiKeyFactory(
            tenant=self._tenant, project=project, secret=secret, model_names=[self.model], **fields
        )
        grant(key, self._row, **({"valid_until": granted_until} if granted_until else {}))
        return key, secret

    def _publish(self):
        from tenants.revision import raise_revision

        raise_revision()
        self._stack.acknowledged()

    def go_away(self):
        self._stack.kill("console")

    def come_back(self):
        self._stack.start("console")

    def waiting(self):
        """How many calls the gateway has not sent yet."""
        lines = requests.get(f"{self.gateway_url}/metrics", timeout=60).text.splitlines()
        values = [line for line in lines if line.startswith("llm_gateway_spool_pending")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in values)

    def ledger(self):
        """All calls of these keys, a call as often as it is in the ledger. Its sums agree with it.

        Raises AssertionError if they do not, or if a call was put in quarantine.
        """
        from django.db import connection

        from billing.models import QuarantinedEvent, UsageEvent

        assert not QuarantinedEvent.objects.in_tenant(self._tenant).exists()
        found = [
            Entry(
                str(event.event_id),
                event.status,
                event.quantities["input"] + event.quantities["output"],
                event.is_exact,
            )
            for event in UsageEvent.objects.in_tenant(self._tenant).iterator(10_000)
        ]
        for view in ("rollup_hour", "rollup_day", "rollup_tenant_day", "rollup_tenant_month", "rollup_month"):
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT sum(calls), sum(tokens) FROM {view} WHERE tenant_id = %s", [self._tenant.pk]
                )
                sums = cursor.fetchone()
            assert sums == (len(found), sum(entry.tokens for entry in found)), view
        return found

    def close(self):
        self._engine.process.kill()

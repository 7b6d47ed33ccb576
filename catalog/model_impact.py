"""What a change of models touches: tenants, projects, keys, open requests, and the use of the last 30 days."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from accounts.models import User
from billing.models import BilledModel, RollupTenantDay
from catalog.models import CatalogModel, Grant, RequestItem
from core.joined import listed
from core.templatetags.qm import full, money
from tenants.models import ApiKey, Membership
from tenants.roles import Role

# Counting stops here: beyond it, people read "more than".
MOST: Final = 1000
# Tenants that a sentence names.
NAMED: Final = 5
# How far back the use goes.
DAYS: Final = 30


@dataclass(frozen=True)
class ModelImpact:
    """Numbers up to MOST + 1, the names of the first tenants with a grant, and the use of the last days."""

    tenants: int
    projects: int
    grants: int
    requests: int
    names: tuple[str, ...]
    # Live keys of these projects that name one of the models.
    keys: int = 0
    # Owners of these tenants, who are told.
    owners: int = 0
    # Of the last DAYS days, by tenants that have grants in force.
    calls: int = 0
    # Decimals by currency; without calls that have no price.
    money: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.grants or self.requests)

    @property
    def words(self) -> str:
        """Sentences: who uses it, who asks for it, and what was used."""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> list[str]:
        """One for each: tenants, projects and keys; names; use of the last days; requests; owners."""
        used = _("In force: %(grants)s of %(tenants)s, for %(projects)s, with %(keys)s.") % {
            "grants": _of(self.grants, ngettext("%(n)s grant", "%(n)s grants", self.grants)),
            "tenants": _of(self.tenants, ngettext("%(n)s tenant", "%(n)s tenants", self.tenants)),
            "projects": _of(self.projects, ngettext("%(n)s project", "%(n)s projects", self.projects)),
            "keys": _of(self.keys, ngettext("%(n)s live key", "%(n)s live keys", self.keys)),
        }
        named = _("Tenants: %(names)s.") % {"names": listed(self.names)} if self.names else ""
        recent = _("In the last %(days)s days: %(calls)s, %(money)s.") % {
            "days": DAYS,
            "calls": ngettext("%(n)s call", "%(n)s calls", self.calls) % {"n": full(self.calls)},
            "money": listed(money(Decimal(sum_), currency) for currency, sum_ in self.money.items())
            or pgettext("money", "nothing billed"),
        }
        asked = _("Open requests: %(count)s.") % {"count": _of(self.requests, "%(n)s")}
        told = _("Owners who are told: %(count)s.") % {"count": _of(self.owners, "%(n)s")}
        return [*filter(None, [used, named]), recent, asked, told]

    def as_json(self) -> dict[str, Any]:
        """As a planned change keeps it, and the API gives it."""
        return {**vars(self), "names": list(self.names), "money": dict(self.money)}

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> ModelImpact:
        """What `as_json` gave."""
        return cls(**{**stored, "names": tuple(stored["names"])})


def impact_of(models: Collection[UUID]) -> ModelImpact:
    """What these models have now. A constant number of queries; the counts read a bounded number of rows."""
    grants = Grant.objects.across_tenants().in_force().filter(model__in=models).order_by()
    items = RequestItem.objects.across_tenants().filter(is_open=True, model__in=models).order_by()
    names = grants.values_list("tenant__name", flat=True).distinct()[: NAMED + 1]
    found = sorted(names)
    calls, money_by_currency = _recent_use(models, grants)
    return ModelImpact(
        tenants=_number(grants.values("tenant").distinct()),
        projects=_number(grants.values("project").distinct()),
        grants=_number(grants.values("pk")),
        requests=_number(items.values("access_request").distinct()),
        names=(*found[:NAMED], *(["…"] if len(found) > NAMED else [])),
        keys=_number(_live_keys(models, grants)),
        owners=_number(owners_of_tenants(grants.values("tenant")).values("pk")),
        calls=calls,
        money={currency: f"{amount:f}" for currency, amount in money_by_currency.items()},
    )


def owners_of_tenants(tenants: Any) -> QuerySet[User]:
    """Active owners of these tenants (a query or ids), each once."""
    owners = Membership.objects.across_tenants().filter(tenant__in=tenants, role=Role.OWNER)
    return User.objects.filter(pk__in=owners.values("user"), is_active=True)


def _live_keys(models: Collection[UUID], grants: QuerySet[Grant]) -> QuerySet[Any, Any]:
    names = list(CatalogModel.objects.filter(pk__in=models).values_list("name", flat=True))
    keys = ApiKey.objects.across_tenants().filter(state=ApiKey.State.ACTIVE, model_names__overlap=names)
    return keys.filter(project__in=grants.values("project")).order_by().values("pk")


def _recent_use(models: Collection[UUID], grants: QuerySet[Grant]) -> tuple[int, dict[str, Decimal]]:
    """Calls and money of the last DAYS days from the sums of tenants' days, for tenants with grants in force."""
    tenants = list(grants.values_list("tenant", flat=True).distinct())
    names = CatalogModel.objects.filter(pk__in=models).values("name")
    billed = list(BilledModel.objects.filter(name__in=names).values_list("pk", flat=True))
    if not tenants or not billed:
        return 0, {}
    since = now().date() - timedelta(days=DAYS)
    days = RollupTenantDay.objects.across_tenants().filter(
        tenant__in=tenants, day__gte=since, model__in=billed
    )
    rows = days.order_by().values_list("tenant__currency").annotate(Sum("calls"), Sum("amount"))
    calls, amounts = 0, {}
    for currency, count, amount in rows:
        calls += int(count)
        if amount is not None:
            amounts[currency] = amount
    return calls, amounts


def _number(rows: QuerySet[Any, Any]) -> int:
    return rows[: MOST + 1].count()


def _of(count: int, words: str) -> str:
    number = _("more than %(number)s") % {"number": f"{MOST:,}"} if count > MOST else str(count)
    return words % {"n": number}

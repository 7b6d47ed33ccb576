"""Finding models: words, facets whose counts follow the selection, sorting, and pages by keyset.

The URL holds the whole selection. A request takes a constant number of database queries, however many models
there are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import Case, CharField, Count, F, Func, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.http import QueryDict
from django.utils.translation import gettext as _

from accounts.models import User
from catalog import capabilities
from catalog.actions.access_requests import raise_access_request
from catalog.models import AccessRequest, CatalogModel, Grant
from catalog.modes import mode_label
from catalog.querysets import CatalogModelQuerySet
from catalog.serving import answered, reach_of, servable_modes, within
from catalog.typos import corrected
from tenants.models import DataClass, Project, Tenant
from tenants.permissions import may_somewhere
from tenants.views.mixins import not_shown

_TEXT = CharField()
PAGE_SIZE = 24
MOST_OPTIONS = 12
MOST_CHOSEN = 40  # values of one facet
FACETS = ("access", "served", "mode", "data_class", "capability", "hosting", "provider")

# Parts of a selection that the URL leaves out if they have this value.
_STANDARDS = {"sort": "recommended", "view": "cards", "project": "", "typed": ""}


@dataclass(frozen=True)
class Selection:
    """The content of the URL: words, chosen facet values, sort, view, project and page."""

    query: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sort: str = "recommended"
    view: str = "cards"
    project: str = ""
    # "1": search for the words as they were typed, without correcting a typo.
    typed: str = ""

    @classmethod
    def read(cls, given: QueryDict) -> Selection:
        sort = given.get("sort", "recommended")
        return cls(
            query=given.get("q", "").replace("\0", "").strip()[:200],
            chosen={key: values for key in FACETS if (values := _readable(given.getlist(key)))},
            sort=sort if sort in _ORDERS else "recommended",
            view="table" if given.get("view") == "table" else "cards",
            project=given.get("project", "").replace("\0", "")[:60],
            typed="1" if given.get("typed") else "",
        )

    def url(self, **page: str) -> str:
        """The query string of this selection, beginning with "?"; `page` may name a cursor."""
        pairs = [("q", self.query)] if self.query else []
        pairs += [(key, value) for key in FACETS for value in self.chosen.get(key, ())]
        for name, standard in _STANDARDS.items():
            if getattr(self, name) != standard:
                pairs.append((name, getattr(self, name)))
        pairs += [(name, value) for name, value in page.items() if value]
        return "?" + urlencode(pairs)

    def with_value(self, key: str, value: str, *, wanted: bool) -> Selection:
        values = tuple(v for v in self.chosen.get(key, ()) if v != value) + ((value,) if wanted else ())
        return self.but(chosen={**self.chosen, key: values})

    def but(self, **changes: Any) -> Selection:
        return Selection(**{**vars(self), **changes})


def _readable(values: list[str]) -> tuple[str, ...]:
    """The values without duplicates, limited to a number that a person would select, so the query stays short."""
    return tuple(dict.fromkeys(v[:60] for v in values if v and "\0" not in v))[:MOST_CHOSEN]


_ORDERS: dict[str, tuple[str, ...]] = {
    "recommended": ("-fit", "-standing", "-offer_count", "name"),
    "name": ("name",),
    "price": ("price_rank", "name"),
    "context": ("-context_rank", "name"),
    "newest": ("-created_at", "name"),
}


class Browser:
    """The catalog that `user` sees in `tenant` (in `project`, if given) for a selection."""

    def __init__(self, user: User, tenant: Tenant, selection: Selection, project: Project | None) -> None:
        self.user, self.tenant, self.selection, self.project = user, tenant, selection, project
        scope = Q(project=project) if project else Q()
        granted = (
            Grant.objects.visible_to(user).in_tenant(tenant).in_force().without_lapsed_keys().filter(scope)
        )
        waiting = AccessRequest.objects.visible_to(user).in_tenant(tenant).pending().filter(scope)
        self._granted = Q(pk__in=granted.values("model"))
        self._waiting = Q(pk__in=waiting.values("model"))
        self._served = self._answered(granted, waiting)
        self._may_ask = tenant.status == Tenant.Status.ACTIVE and (
            raise_access_request.is_permitted(user, project)
            if project
            else may_somewhere(user, raise_access_request.permission, tenant)
        )
        # Who sees no grants would read that nobody may use any model.
        self._sees_access = not not_shown(user, tenant, Grant)
        self._found: CatalogModelQuerySet[CatalogModel] = CatalogModel.objects.published().search(
            selection.query
        )

    def _answered(self, granted: QuerySet[Grant], waiting: QuerySet[AccessRequest]) -> Q:
        """The condition that calls get an answer now: with the data of a grant, else of a request, else with any."""
        reach = reach_of([self.tenant])
        found = Q(pk__in=granted.filter(answered(reach)).values("model"))
        asked = waiting.filter(within(reach[self.tenant.pk], "data_class")).values("model")
        found |= ~self._granted & Q(pk__in=asked)
        return found | ~self._granted & ~self._waiting & Q(pk__in=list(reach[self.tenant.pk]))

    def corrected(self) -> Browser | None:
        """The same with one typo in the words corrected; None unless the words find nothing and the corrected do."""
        query = self.selection.query
        if not query or self.selection.typed or self._found.exists():
            return None
        words = corrected(query, CatalogModel.objects.published())
        if words is None:
            return None
        return Browser(self.user, self.tenant, self.selection.but(query=words), self.project)

    @property
    def order(self) -> tuple[str, ...]:
        return _ORDERS[self.selection.sort]

    def models(self) -> CatalogModelQuerySet[CatalogModel]:
        """The models that match the whole selection, with the fields that `order` sorts by."""
        return self._narrowed().annotate(
            fit=self._fit(),
            standing=self._standing(),
            price_rank=Coalesce("list_input_price", Value(Decimal(10) ** 9)),
            context_rank=Coalesce("context_tokens", Value(0)),
        )

    def _fit(self) -> Case | Value:
        """How well the name matches the words: the whole name, its beginning, or neither."""
        name = "-".join(self.selection.query.lower().split())
        if not name:
            return Value(0)
        return Case(
            When(name=name, then=2),
            When(name__startswith=name, then=1),
            default=0,
            output_field=IntegerField(),
        )

    def _standing(self) -> Case:
        """The default order: granted models first, then models on our own clusters, then priced chat models."""
        return Case(
            When(self._granted, then=3),
            When(hosting=CatalogModel.Hosting.OURS, then=2),
            When(mode="chat", list_input_price__isnull=False, then=1),
            default=0,
            output_field=IntegerField(),
        )

    def _narrowed(self, *, except_for: str = "") -> CatalogModelQuerySet[CatalogModel]:
        models = self._found
        for key, values in self.selection.chosen.items():
            if key == except_for or not values:
                continue
            # A model must have all selected capabilities.
            if key == "capability":
                for value in values:
                    models = models.filter(self._condition(key, value))
            else:
                either = Q()
                for value in values:
                    either |= self._condition(key, value)
                models = models.filter(either)
        return models

    def _condition(self, key: str, value: str) -> Q:
        nothing = Q(pk__in=[])
        if key == "access":
            free = ~self._granted & ~self._waiting
            possible = self._region_allows() & self._can_be_served() if self._may_ask else nothing
            return {
                "granted": self._granted,
                "in_review": self._waiting & ~self._granted,
                "requestable": free & possible,
                "unavailable": free & ~possible,
            }.get(value, nothing)
        if key == "served":
            return {"yes": self._served, "no": ~self._served}.get(value, nothing)
        if key == "data_class":
            if value not in DataClass.values:
                return nothing
            return Q(highest_data_class__in=[c for c in DataClass if c.rank >= DataClass(value).rank])
        if key == "capability":
            return Q(capabilities__contains={value: True})
        if key == "provider":
            return Q(providers__contains=[value])
        return Q(**{key: value})

    def _can_be_served(self) -> Q:
        return Q(mode__in=sorted(servable_modes()))

    def _region_allows(self) -> Q:
        if not self.tenant.regions:
            return Q(pk__isnull=False)
        allowed = Q(hosting=CatalogModel.Hosting.OURS)
        for region in self.tenant.regions:
            # A region lies inside another if its name starts with it: eu-central-1 is in eu.
            inside = Func(F("regions"), Value(","), function="array_to_string", output_field=_TEXT)
            allowed |= Q(regions__contains=[region]) | Q(
                pk__in=CatalogModel.objects.alias(joined=inside)
                .filter(joined__regex=f"(^|,){re.escape(region)}-")
                .values("pk")
            )
        return allowed

    def facets(self) -> list[dict[str, Any]]:
        """Every facet with its options. Each option's count depends on the selection in the other facets."""
        fixed: dict[str, tuple[str, dict[str, str]]] = {
            "access": (_("Access"), {
                "granted": _("You can use"), "in_review": _("In review"), "requestable": _("You can request"),
                "unavailable": _("Not available"),
            }),
            "served": (_("Served"), {"yes": _("Answers calls now"), "no": _("Nothing serves it yet")}),
            "data_class": (_("Data class"), {
                value: str(label) for value, label in DataClass.choices if value != DataClass.PUBLIC
            }),
            "capability": (_("Capability"), {
                flag: str(word) for flag, (word, _icon) in capabilities.WORDS.items()
            }),
            "hosting": (_("Hosting"), {"ours": _("Our clusters"), "vendor": _("Vendor-hosted")}),
        }  # fmt: skip
        counts = self._counts({key: list(options) for key, (_label, options) in fixed.items()})
        found = {
            key: self._facet(
                key, label, [(value, words, counts[key, value]) for value, words in options.items()]
            )
            for key, (label, options) in fixed.items()
        }
        found["mode"] = self._grouped("mode", _("Kind"), "mode")
        found["provider"] = self._grouped("provider", _("Provider"), "providers")
        return [found[key] for key in FACETS if key != "access" or self._sees_access]

    def _counts(self, options: Mapping[str, list[str]]) -> dict[tuple[str, str], int]:
        """By facet and option, how many models it would leave. One query, and one more for each facet with a choice."""
        chosen = [key for key in options if key != "capability" and self.selection.chosen.get(key)]
        groups = [("", [key for key in options if key not in chosen]), *((key, [key]) for key in chosen)]
        counts: dict[tuple[str, str], int] = {}
        for except_for, keys in groups:
            asked = [(key, value) for key in keys for value in options[key]]
            numbers = self._narrowed(except_for=except_for).aggregate(
                **{f"n{place}": Count("pk", filter=self._condition(*one)) for place, one in enumerate(asked)}
            )
            counts |= {one: numbers[f"n{place}"] for place, one in enumerate(asked)}
        return counts

    def _grouped(self, key: str, label: str, column: str) -> dict[str, Any]:
        base = self._narrowed(except_for=key)
        each = F(column) if column == key else Func(F(column), function="unnest", output_field=_TEXT)
        rows = base.annotate(option=each).values("option").annotate(n=Count("pk")).order_by("-n", "option")
        counts = {row["option"]: row["n"] for row in rows}
        chosen = self.selection.chosen.get(key, ())
        shown = [
            *list(counts)[:MOST_OPTIONS],
            *(value for value in chosen if value not in list(counts)[:MOST_OPTIONS]),
        ]
        return self._facet(key, label, [(value, _words(key, value), counts.get(value, 0)) for value in shown])

    def _facet(self, key: str, label: str, options: list[tuple[str, Any, int]]) -> dict[str, Any]:
        chosen = self.selection.chosen.get(key, ())
        return {
            "key": key,
            "label": label,
            "options": [
                {
                    "value": value,
                    "label": words,
                    "count": count,
                    "selected": value in chosen,
                    "url": self.selection.with_value(key, value, wanted=value not in chosen).url(),
                }
                for value, words, count in options
            ],
        }

    def chips(self, facets: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The selected values, each with the address that removes it."""
        return [
            {"label": facet["label"], "value": option["label"], "remove_url": option["url"]}
            for facet in facets
            for option in facet["options"]
            if option["selected"]
        ]

    def sorts(self) -> list[dict[str, str]]:
        labels = {
            "recommended": _("Recommended"),
            "price": _("Lowest price"),
            "context": _("Largest context"),
            "newest": _("Newest"),
            "name": _("Name"),
        }
        return [{"value": value, "label": label} for value, label in labels.items()]


def _words(key: str, value: str) -> str:
    return mode_label(value) if key == "mode" else value.replace("_", " ")

"""What the operators' pages of a provider and of its models show, and the links from them to routes and models."""

from __future__ import annotations

from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.decorators import display

from accounts.admin.base import Colors, link
from core.dates import ago
from deployments import provider_managers, quota_counts
from deployments.models import Provider, ProviderModel, RouteEntry

SERVICE_COLOURS = Colors({True: "success", False: "warning"})
# Routes that a provider's page names; the rest is counted.
MOST_ROUTES = 50


def _title(name: str) -> Any:
    field: Any = Provider._meta.get_field(name)
    return field.verbose_name


def _seconds(seconds: int) -> str:
    return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}


def _yes_no(said: bool | None) -> str:
    return _("not known") if said is None else _("Yes") if said else _("No")


class ProviderPage:
    """Mixed into the admin of providers."""

    # First what the page is opened for.
    shown_fieldsets = [
        (
            None,
            {"fields": ["service", "last_test", "key_in_use", "refreshed", "all_models", "routes", "managed_by"]},
        ),
        (
            gettext_lazy("How it is reached"),
            {
                "fields": [
                    "name", "title", "dialect", "base_url", "api_version", "headers", "traces", "proxy", "authorities",
                ]
            },
        ),
        (
            gettext_lazy("What it may be told"),
            {"fields": ["regions_in_words", "highest_data_class", "retention", "training"]},
        ),
        (gettext_lazy("Time-outs and our quota"), {"fields": ["time_outs", "quota", "created_at"]}),
    ]  # fmt: skip
    shown_fields = [name for _title, rows in shown_fieldsets for name in rows["fields"]]

    @display(description=gettext_lazy("Service"), label=SERVICE_COLOURS)
    def service(self, provider: Provider) -> tuple[bool, str]:
        return provider.is_enabled, _("enabled") if provider.is_enabled else _("disabled")

    @display(description=gettext_lazy("Last test"))
    def last_test(self, provider: Provider) -> str:
        if provider.tested_at is None:
            return _("never tested")
        found = provider.fault or _("reached, %(ms)d ms") % {"ms": provider.answered_in_ms or 0}
        return f"{found} · {ago(provider.tested_at)}"

    @display(description=gettext_lazy("Credential in use"))
    def key_in_use(self, provider: Provider) -> str:
        newest = provider.credentials.in_force(now()).first()
        if newest is None and provider.credentials.exists():
            return _("Each has ended, so gateways send it no calls. Enter a new one.")
        if newest is None:
            return _("none")
        # Only the newest has no end, unless somebody has ended it.
        if newest.valid_until is None:
            return newest.label
        ends = date_format(localtime(newest.valid_until), "DATETIME_FORMAT")
        return _("%(credential)s, until %(ends)s and no longer. Enter a new one before.") % {
            "credential": newest.label,
            "ends": ends,
        }

    @display(description=gettext_lazy("List of models read"))
    def refreshed(self, provider: Provider) -> str:
        return ago(provider.listed_at)

    @display(description=gettext_lazy("Models"))
    def listed_models(self, provider: Any) -> str:
        return str(_("%(listed)d listed, %(matched)d of them in the catalog") % vars(provider))

    @display(description=gettext_lazy("Models"))
    def all_models(self, provider: Any) -> str:
        query = f"?provider__id__exact={provider.pk}"
        return link("deployments_providermodel_changelist", text=self.listed_models(provider), query=query)

    @display(description=gettext_lazy("Routes that it is in"))
    def routes(self, provider: Provider) -> str:
        entries = RouteEntry.objects.filter(target__provider_model__provider=provider)
        first = entries.select_related("route__model").order_by("route__model__name", "pk")[: MOST_ROUTES + 1]
        lines = [
            (
                link("deployments_route_change", entry.route_id, text=entry.route.model.name),
                weight_in_words(entry.weight),
            )
            for entry in first
        ]
        if not lines:
            return _("None: it gets no calls. Press Route to choose models that it shall serve.")
        more = entries.count() - MOST_ROUTES if len(lines) > MOST_ROUTES else 0
        rest = ngettext("and one more", "and %(count)d more", more) % {"count": more} if more else ""
        return format_html("{}{}", format_html_join("", "<p>{}: {}</p>", lines[:MOST_ROUTES]), rest)

    @display(description=gettext_lazy("Managers beside operators"))
    def managed_by(self, provider: Provider) -> str:
        return ", ".join(provider_managers.managers_of(provider)) or _("none")

    @display(description=_title("extra_headers"))
    def headers(self, provider: Provider) -> str:
        return format_html_join("", "<p>{}: {}</p>", provider.extra_headers.items()) or _("none")

    @display(description=gettext_lazy("Receives traces"))
    def traces(self, provider: Provider) -> str:
        return _yes_no(provider.receives_traces)

    @display(description=_title("proxy_url"))
    def proxy(self, provider: Provider) -> str:
        return provider.proxy_url or _("none")

    @display(description=gettext_lazy("Trusted authorities"))
    def authorities(self, provider: Provider) -> str:
        count = provider.private_ca.count("-----BEGIN CERTIFICATE-----")
        if not count:
            return _("the public ones")
        return ngettext(
            "%(count)d certificate of a private CA", "%(count)d certificates of a private CA", count
        ) % {"count": count}

    @display(description=_title("regions"))
    def regions_in_words(self, provider: Provider) -> str:
        return ", ".join(provider.regions) or _("not known, so resident tenants cannot use it")

    @display(description=gettext_lazy("Keeps prompts and answers"))
    def retention(self, provider: Provider) -> str:
        days = provider.retention_days
        if days is None:
            return _("not known")
        return (
            ngettext("%(count)d day", "%(count)d days", days) % {"count": days} if days else _("not at all")
        )

    @display(description=_title("trains_on_data"))
    def training(self, provider: Provider) -> str:
        return _yes_no(provider.trains_on_data)

    @display(description=gettext_lazy("Time-outs"))
    def time_outs(self, provider: Provider) -> str:
        return _("%(connecting)s to connect, %(first)s for the first byte, %(between)s between bytes") % {
            "connecting": _seconds(provider.connect_timeout_seconds),
            "first": _seconds(provider.first_byte_timeout_seconds),
            "between": _seconds(provider.idle_timeout_seconds),
        }

    @display(description=gettext_lazy("What it allows us per minute"))
    def quota(self, provider: Provider) -> str:
        requests, tokens = provider.requests_per_minute, provider.tokens_per_minute
        words = []
        if requests:
            words.append(
                ngettext("%(shown)s request", "%(shown)s requests", requests) % {"shown": f"{requests:,}"}
            )
        if tokens:
            words.append(ngettext("%(shown)s token", "%(shown)s tokens", tokens) % {"shown": f"{tokens:,}"})
        if not words:
            return _("not known; gateways send calls until the provider refuses them (429)")
        heeded = _("%(quota)s; while it is used up, gateways send calls to the next target of a route.") % {
            "quota": ", ".join(words)
        }
        return f"{heeded} {quota_counts.in_words()}"


def weight_in_words(weight: int) -> str:
    """The weight of an entry as lists show it: with 0, a target is in the route and gets no calls."""
    return _("weight %(weight)d") % {"weight": weight} if weight else _("weight 0, no calls")


class ProviderModelPage:
    """Mixed into the admin of models of providers. `with_route` adds what `routed` shows."""

    @staticmethod
    def with_route(rows: QuerySet[Any]) -> QuerySet[Any]:
        """Adds `in_route`, the id of a route, and `route_weight`; None without an entry."""
        entry = RouteEntry.objects.filter(target__provider_model=OuterRef("pk")).order_by("pk")
        annotated: QuerySet[Any] = rows.annotate(
            in_route=Subquery(entry.values("route")[:1]), route_weight=Subquery(entry.values("weight")[:1])
        )
        return annotated

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.with_route(super().get_queryset(request))  # type: ignore[misc]

    @display(description=gettext_lazy("Model of the catalog"))
    def in_catalog(self, row: ProviderModel) -> str:
        if row.model is None:
            return "—"
        words = f"{row.model.name} ({row.model.get_lifecycle_display()})"
        return link("catalog_catalogmodel_change", row.model_id, text=words)

    @display(description=gettext_lazy("In the route"))
    def routed(self, row: Any) -> str:
        if row.in_route is None:
            return _("no")
        return link("deployments_route_change", row.in_route, text=weight_in_words(row.route_weight))

    @display(description=gettext_lazy("Listed"), boolean=True)
    def seen(self, row: ProviderModel) -> bool:
        return row.is_listed

"""Operators' page of gateways: the revision each serves, its lag, and its token."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django import forms
from django.contrib import admin, messages
from django.core.validators import validate_slug
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext_lazy
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextInputWidget

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors, link
from accounts.admin.dialogs import Dialog, DialogForm
from deployments.list_setting_entry_points import LinesField, ListSettingForm
from gateway import actions, promises
from gateway.acknowledged import lag_in_words
from gateway.counters import counter_in_words
from gateway.list_settings import MEDIA_HOSTS, REGION_ORDER
from gateway.models import Gateway
from gateway.refused import standing_refusal
from gateway.refused_admin import RefusedCallsAdmin
from gateway.revisions_admin import ConfigChangeAdmin
from gateway.signing import pins
from gateway.signing_admin import SigningKeyAdmin
from tenants.models import ConfigChange

# Registered by being imported.
__all__ = ["ConfigChangeAdmin", "RefusedCallsAdmin", "SigningKeyAdmin"]


class RegisterForm(DialogForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        validators=[validate_slug],
        widget=UnfoldAdminTextInputWidget,
        help_text=_("The gateway's GATEWAY_ID."),
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if Gateway.objects.filter(name=name).exists():
            raise forms.ValidationError(_("A gateway with this name already exists."))
        return name


class MediaHostsForm(ListSettingForm):
    setting = MEDIA_HOSTS
    hosts = LinesField(
        label=_("Hosts, one per line"),
        required=False,
        help_text=_(
            "Such as pictures.example.com, or *.example.org for all names below it. Empty: only data: URLs."
        ),
    )


class RegionOrderForm(ListSettingForm):
    setting = REGION_ORDER
    regions = LinesField(
        label=_("Regions in order of preference, one per line"),
        required=False,
        help_text=_("Such as eu-west-1, or eu for all regions within it. Empty: no order."),
    )


def _show(made: tuple[Gateway, str]) -> SafeString:
    """Show the token in the dialog that requested it. No message, session or cache (as in all the admin) holds it."""
    gateway, secret = made
    context = {"gateway": gateway, "secret": secret, "signing_keys": pins()}
    return render_to_string("gateway/_token.html", context)


@admin.register(Gateway)
class GatewayAdmin(ReadOnlyAdmin):
    page_badge = "service"
    list_display = ["name", "kind", "service", "lag", "seen", "spool_pending", "region", "problem"]
    ordering = ["name"]
    actions_list = ["register", "media_hosts", "region_order"]
    actions_detail = ["renew", "revoke"]
    fields = readonly_fields = [
        "name",
        "kind",
        "not_promised",
        "service",
        "region",
        "prefix",
        "acknowledged",
        "lag",
        "acknowledged_at",
        "seen",
        "spool_pending",
        "problem",
        "refused",
        "version",
        "speaks",
        "reads",
        "workers",
        "counts_in",
        "signing_keys",
        "counters",
        "refused_calls",
        "created_at",
        "revoked_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        annotated: QuerySet[Any] = rows.with_lag()
        return annotated

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, under what keeps gateways from a newer configuration."""
        if (refusal := standing_refusal()) is not None and request.method == "GET":
            text = _(
                "Since revision %(revision)d, a part is not published: %(reason)s Gateways keep what was proved "
                "before of it, or lack it. Everything else, such as revoked keys, reaches them."
            )
            messages.error(request, text % {"revision": refusal.revision, "reason": refusal.reason})
        answer: HttpResponse = super().changelist_view(request, extra_context)
        return answer

    @display(description=_("Kind"))
    def kind(self, gateway: Gateway) -> str:
        return str(promises.kind_of(gateway.report))

    @display(description=_("It cannot promise"))
    def not_promised(self, gateway: Gateway) -> str:
        sentences = ((str(one),) for one in promises.not_promised(gateway.report))
        return format_html_join("", "<p>{}</p>", sentences) or str(_("nothing: it keeps every promise"))

    @display(description=_("Service"), label=Colors({True: "success", False: "danger"}))
    def service(self, gateway: Gateway) -> tuple[bool, str]:
        serves = gateway.revoked_at is None
        return serves, str(_("in service") if serves else _("revoked"))

    @display(description=_("Lag"))
    def lag(self, gateway: Gateway) -> str:
        return lag_in_words(gateway)

    @display(description=_("Last seen"), ordering="last_seen_at")
    def seen(self, gateway: Gateway) -> str:
        if gateway.last_seen_at is None:
            return str(_("never"))
        if (now() - gateway.last_seen_at).total_seconds() < 60:
            return str(_("just now"))
        return str(_("%(time)s ago") % {"time": timesince(gateway.last_seen_at)})

    @display(description=_("Region"))
    def region(self, gateway: Gateway) -> str:
        return str(gateway.report.get("region") or _("none stated (GATEWAY_REGION)"))

    @display(description=_("Problem"))
    def problem(self, gateway: Gateway) -> str:
        return str(gateway.report.get("problem") or _("none"))

    @display(description=_("Version"))
    def version(self, gateway: Gateway) -> str:
        return str(gateway.report.get("version", "—"))

    @display(description=_("Configuration that it refused"))
    def refused(self, gateway: Gateway) -> str:
        refused = gateway.report.get("refused")
        if not refused:
            return str(_("none"))
        return str(_("Revision %(revision)d: %(reason)s") % refused)

    @display(description=_("Reads versions of the contract"))
    def reads(self, gateway: Gateway) -> str:
        return ", ".join(map(str, gateway.report.get("reads", []))) or "—"

    @display(description=_("Speaks version of the contract"))
    def speaks(self, gateway: Gateway) -> str:
        return str(gateway.report.get("contract_version", "—"))

    @display(description=_("Workers"))
    def workers(self, gateway: Gateway) -> str:
        return str(gateway.report.get("workers", "—"))

    @display(description=_("Counts limits and quotas"))
    def counts_in(self, gateway: Gateway) -> str:
        place = gateway.report.get("counts_in")
        if not place:
            return str(_("by itself, in its memory (no GATEWAY_REDIS_URL)"))
        others = Gateway.objects.alive().exclude(pk=gateway.pk).filter(report__counts_in=place).count()
        return ngettext(
            "in a Redis, with %(count)d other gateway", "in a Redis, with %(count)d other gateways", others
        ) % {"count": others}

    @display(description=_("Signing keys that it was given"))
    def signing_keys(self, gateway: Gateway) -> str:
        given = gateway.report.get("signing_keys", [])
        return ", ".join(given) or str(_("none: it does not check signatures"))

    @display(description=_("Since its start"))
    def counters(self, gateway: Gateway) -> str:
        counters: dict[str, int] = gateway.report.get("counters", {})
        lines = ((counter_in_words(name), f"{number:,}") for name, number in counters.items())
        return format_html_join("", "<p>{}: {}</p>", lines) or "—"

    @display(description=_("Calls that it refused"))
    def refused_calls(self, gateway: Gateway) -> str:
        query = f"?q={quote(gateway.name)}"
        return link("gateway_refusedcalls_changelist", text=_("See them"), query=query)

    @display(description=_("Acknowledged revision"))
    def acknowledged(self, gateway: Gateway) -> str:
        revision = gateway.acknowledged_revision
        if not ConfigChange.objects.filter(revision=revision).exists():
            return str(revision or _("none yet"))
        return link("tenants_configchange_change", revision, text=revision)

    register = Dialog(
        actions.register_gateway,
        label=_("Register a gateway"),
        url_path="register",
        icon="add",
        form=RegisterForm,
        title=_("Register a gateway"),
        text=_("Its token is shown once, here."),
        button=_("Register"),
        show=_show,
    )

    media_hosts = Dialog(
        actions.set_media_hosts,
        label=_("Media hosts"),
        url_path="media-hosts",
        icon="image",
        form=MediaHostsForm,
        title=_("Media hosts"),
        text=_(
            "Engines fetch pictures, sounds and files that clients name by URL, from inside your "
            "network, only from these hosts. Enter only hosts that you trust for what their names "
            "resolve to and where they redirect."
        ),
        button=_("Save"),
        done=_("Gateways know the hosts within seconds."),
    )

    region_order = Dialog(
        actions.set_region_order,
        label=_("Order of regions"),
        url_path="region-order",
        icon="public",
        form=RegionOrderForm,
        title=_("Order of regions"),
        text=_(
            "Among targets of equal order, a gateway first tries those in its own region (GATEWAY_REGION), then those "
            "in the first of these regions, and so on. All other targets come last. Weights apply within each group."
        ),
        button=_("Save"),
        done=_("Gateways follow the order within seconds."),
    )

    renew = Dialog(
        actions.renew_gateway_token,
        label=_("Renew token"),
        url_path="renew",
        icon="autorenew",
        title=_("Create another token?"),
        text=_(
            "The old token stops working at once. Until you restart the gateway with the new one, it "
            "serves its last configuration and keeps usage on its disk."
        ),
        button=pgettext_lazy("a token", "Renew"),
        show=_show,
    )

    revoke = Dialog(
        actions.revoke_gateway,
        label=_("Revoke"),
        url_path="revoke",
        icon="block",
        is_dangerous=True,
        title=_("Revoke this gateway?"),
        text=_(
            "Its token stops working at once. Stop the process as well, because it keeps serving its "
            "last configuration."
        ),
        button=_("Revoke"),
        done=_("%(it)s is revoked."),
    )

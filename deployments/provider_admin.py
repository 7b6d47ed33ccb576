"""Operators' pages of providers, their credentials and their models."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import action, display

from accounts.admin import ReadOnly, ReadOnlyAdmin
from accounts.admin.base import Colors, more, offers
from accounts.admin.dialogs import Dialog
from accounts.admin.filters import FewRelatedFilter
from accounts.permissions import signed_in
from catalog.modes import mode_label
from core.dates import DASH
from core.errors import Conflict
from core.form_errors import show_errors
from deployments import (
    provider_actions,
    provider_lists,
    provider_managers,
    provider_rotation,
    provider_routing,
)
from deployments.models import Provider, ProviderCredential, ProviderModel
from deployments.provider_forms import (
    ChangeProviderForm,
    ImpactForm,
    ManagerForm,
    MatchForm,
    NameModelForm,
    NetworksForm,
    ProviderForm,
    RotateForm,
    RouteModelsForm,
)
from deployments.provider_page import ProviderModelPage, ProviderPage
from deployments.provider_tests import in_words


class CredentialInline(ReadOnly, TabularInline):  # type: ignore[misc]
    model = ProviderCredential
    fields = readonly_fields = ["recognized", "kind", "valid_from", "valid_until", "made_by"]
    ordering = ["-valid_from"]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("provider", "made_by")

    @display(description=_("Credential"))
    def recognized(self, credential: ProviderCredential) -> str:
        url = reverse("admin:deployments_providercredential_change", args=[credential.pk])
        return format_html('<a class="underline" href="{}">{}</a>', url, credential.label)


@admin.register(Provider)
class ProviderAdmin(ProviderPage, ReadOnlyAdmin):
    form = ProviderForm
    page_badge = "service"
    list_display = ["title", "name", "dialect", "service", "last_test", "listed_models", "refreshed"]
    list_filter = ["is_enabled"]
    search_fields = ["name", "title"]
    ordering = ["name"]
    actions_list = ["allowed_networks"]
    actions_detail = [
        "refresh",
        "change",
        "rotate",
        "route_models",
        more("name_model", "managers", "disable", "enable", "delete_now"),
    ]
    inlines = [CredentialInline]

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return provider_actions.add_provider.is_for(request.user)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.shown_fieldsets if obj else [(None, {"fields": ProviderForm.in_order()})]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form of a new provider. A page that only shows a provider does not say how to fill it in."""
        if obj is not None:
            kwargs["help_texts"] = dict.fromkeys(["name", *Provider.EDITABLE], "")
        return super().get_form(request, obj, change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.shown_fields if obj else []

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        is_listed = Q(models__is_named_by_hand=True) | Q(models__last_seen_at__gte=F("listed_at"))
        counted: QuerySet[Any] = rows.annotate(
            listed=Count("models", filter=is_listed),
            matched=Count("models", filter=is_listed & Q(models__model__isnull=False)),
        )
        return counted

    def response_add(
        self, request: HttpRequest, obj: Provider, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Go on to the provider's page, where its models are routed."""
        if "_addanother" in request.POST:
            return redirect("admin:deployments_provider_add")
        return redirect("admin:deployments_provider_change", obj.pk)

    def save_model(self, request: HttpRequest, obj: Provider, form: Any, change: bool) -> None:
        provider_actions.add_provider(
            obj,
            form.new_credential,
            by=signed_in(request),
            report=form.report,
            is_tested=form.cleaned_data["test"] == "yes",
        )
        if form.report is not None:
            messages.info(request, in_words(form.report))
        messages.success(
            request, _("%(it)s is added. Route its models to it, so that it gets calls.") % {"it": obj}
        )

    @offers(provider_actions.change_provider)
    @action(description=_("Settings"), url_path="settings", icon="settings", permissions=["change_settings"])
    def change(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Change how a provider is reached, where it processes calls, and what it may be told."""
        person = signed_in(request)
        provider = Provider.objects.visible_to(person).get(pk=object_id)
        provider_actions.change_provider.require_permission(person, provider)
        form, is_refused = ChangeProviderForm(request.POST or None, instance=provider), False
        if form.is_valid():
            values = form.sent()
            if provider_actions.moves(provider, values):
                provider_actions.move_provider.require_permission(person, provider)
            try:
                changed = provider_actions.change_provider(provider.pk, by=person, **values)
            except ValidationError as error:
                show_errors(form, error)
            except Conflict as conflict:
                is_refused = True
                form.ask(conflict.message)
            else:
                messages.success(request, _("%(it)s is changed.") % {"it": changed})
                return redirect("admin:deployments_provider_change", provider.pk)
        title = _("Settings of %(it)s") % {"it": provider}
        hint = _(
            "Gateways know of a change within seconds. A change of how it is reached is tested first. Base URL, proxy "
            "and private CA are for people who may manage all providers."
        )
        page = self.form_page(request, form, title=title, button=_("Save"), hint=hint, row=provider)
        page.status_code = 409 if is_refused else page.status_code
        return page

    def has_change_settings_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return provider_actions.change_provider.is_for(request.user)

    refresh = Dialog(
        provider_lists.refresh_provider,
        label=_("Test"),
        url_path="refresh",
        icon="network_check",
        title=_("Test this provider?"),
        text=_("The console asks it for its models, with the credential in force. This takes seconds."),
        button=_("Test"),
        done=_("%(it)s"),
        call=lambda pk, *, by: in_words(provider_lists.refresh_provider(pk, by=by)[1]),
    )

    rotate = Dialog(
        provider_rotation.rotate_provider_credential,
        label=_("New credential"),
        url_path="rotate",
        icon="autorenew",
        form=RotateForm,
        title=_("Enter a new credential"),
        text=_("It is in force at once. Gateways try the old one as well until it ends."),
        button=_("Save"),
        done=_("%(it)s is in force."),
    )

    name_model = Dialog(
        provider_lists.name_provider_model,
        label=_("Name a model"),
        url_path="name-model",
        icon="add",
        form=NameModelForm,
        title=_("Name a model that it does not list"),
        text=_("Such as a deployment of Azure OpenAI. No list removes it."),
        button=_("Add"),
        done=_("%(name)s is added."),
    )

    route_models = Dialog(
        provider_routing.route_provider_models,
        label=_("Route"),
        url_path="route-models",
        icon="alt_route",
        form=RouteModelsForm,
        title=_("Which of its models shall it serve?"),
        text=_(
            "Each joins its model's route with weight 1, order 0. Tenants with a grant can call it within seconds; "
            "change weights and order on the route's page. The list has the first 50 that are matched with the "
            "catalog and in no route."
        ),
        button=_("Route"),
        done=_("The chosen models are routed."),
    )

    managers = Dialog(
        provider_managers.set_provider_manager,
        label=_("Managers"),
        url_path="managers",
        icon="person_add",
        form=ManagerForm,
        title=_("Who may manage this provider?"),
        text=_(
            "Operators may manage all. Here you let another member of the staff manage this one, or no longer. That "
            "person enters new credentials and changes time-outs and headers, but not where calls go: base URL, proxy "
            "and private CA."
        ),
        button=_("Save"),
        done=_("Saved: %(email)s"),
    )

    disable = Dialog(
        provider_actions.disable_provider,
        label=_("Disable"),
        url_path="disable",
        icon="block",
        is_dangerous=True,
        form=ImpactForm,
        title=_("Disable this provider?"),
        text=_("Gateways send it no more calls, within seconds. Models that only it serves then answer 404."),
        button=_("Disable"),
        done=_("%(it)s is disabled."),
    )

    enable = Dialog(
        provider_actions.enable_provider,
        label=_("Enable"),
        url_path="enable",
        icon="check_circle",
        title=_("Enable this provider?"),
        text=_("Gateways send it calls again, within seconds."),
        button=_("Enable"),
        done=_("%(it)s is enabled."),
    )

    delete_now = Dialog(
        provider_actions.delete_provider,
        label=_("Delete"),
        url_path="remove",
        icon="delete",
        is_dangerous=True,
        form=ImpactForm,
        title=_("Delete this provider?"),
        text=_(
            "Its credentials and its list of models are deleted. Usage stays. It works only if nothing routes there."
        ),
        button=_("Delete"),
        done=_("%(it)s is deleted."),
        ends_on="list",
    )

    allowed_networks = Dialog(
        provider_actions.set_allowed_networks,
        label=_("Allowed networks"),
        url_path="networks",
        icon="lan",
        form=NetworksForm,
        title=_("Networks that providers may be in"),
        text=_(
            "Without these, providers are at public addresses only. Enter the networks of your own servers. A cloud's "
            "metadata stays closed whatever you enter."
        ),
        button=_("Save"),
        done=_("Gateways know the networks within seconds."),
    )


@admin.register(ProviderCredential)
class ProviderCredentialAdmin(ReadOnlyAdmin):
    page_badge = "state"
    list_display = ["recognized", "provider", "kind", "state", "valid_from", "valid_until"]
    list_filter = [("provider", FewRelatedFilter)]
    list_select_related = ["provider"]
    ordering = ["-valid_from"]
    actions_detail = ["end_now"]
    fields = readonly_fields = [
        "provider", "kind", "recognized", "state", "valid_from", "valid_until", "made_by", "created_at",
    ]  # fmt: skip

    @display(description=_("Credential"))
    def recognized(self, credential: ProviderCredential) -> str:
        return credential.label

    @display(description=_("State"), label=Colors({True: "success", False: "warning"}))
    def state(self, credential: ProviderCredential) -> tuple[bool, str]:
        is_in_force = credential.is_in_force(now())
        return is_in_force, str(_("in force") if is_in_force else _("ended"))

    end_now = Dialog(
        provider_rotation.end_provider_credential,
        label=_("End now"),
        url_path="end",
        icon="block",
        is_dangerous=True,
        title=_("End this credential now?"),
        text=_(
            "Gateways stop using it within seconds, and it is erased here. Revoke it at the provider as well."
        ),
        button=_("End"),
        done=_("%(it)s has ended."),
    )


@admin.register(ProviderModel)
class ProviderModelAdmin(ProviderModelPage, ReadOnlyAdmin):
    list_display = ["name", "provider", "kind", "in_catalog", "matched_by", "routed", "seen", "last_seen_at"]
    list_filter = [("provider", FewRelatedFilter), "matched_by"]
    list_select_related = ["provider", "model"]
    search_fields = ["name", "model__name"]
    ordering = ["name", "pk"]
    actions_detail = ["match"]
    fields = readonly_fields = [
        "name", "provider", "kind", "in_catalog", "matched_by", "routed", "seen", "is_named_by_hand", "first_seen_at",
        "last_seen_at",
    ]  # fmt: skip

    @display(description=_("Mode"), ordering="mode")
    def kind(self, model: ProviderModel) -> str:
        return mode_label(model.mode) if model.mode else DASH

    match = Dialog(
        provider_lists.match_provider_model,
        label=_("Match"),
        url_path="match",
        icon="link",
        form=MatchForm,
        title=_("Which model of the catalog is it?"),
        text=_("A new list does not change what you say here."),
        button=_("Save"),
        done=_("%(it)s is matched."),
    )

"""Operators' page of the keys that sign configuration."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import display

from accounts.admin import ReadOnlyAdmin
from accounts.admin.base import Colors
from accounts.admin.dialogs import Dialog
from gateway import signing_actions
from gateway.models import SigningKey
from gateway.signing import pin_of


@admin.register(SigningKey)
class SigningKeyAdmin(ReadOnlyAdmin):
    page_badge = "status"
    list_display = ["fingerprint", "status", "created_at", "retired_at"]
    ordering = ["-created_at"]
    actions_list = ["add_key"]
    actions_detail = ["retire"]
    fields = readonly_fields = [
        "fingerprint",
        "status",
        "for_gateways",
        "only_key_of",
        "created_at",
        "retired_at",
    ]

    @display(description=_("Fingerprint"))
    def fingerprint(self, key: SigningKey) -> str:
        return key.fingerprint

    @display(description=_("Status"), label=Colors({True: "success", False: "info"}))
    def status(self, key: SigningKey) -> tuple[bool, str]:
        is_used = key.retired_at is None
        return is_used, str(_("in use") if is_used else _("retired"))

    @display(description=_("For GATEWAY_CONFIG_KEYS"))
    def for_gateways(self, key: SigningKey) -> str:
        return format_html('<span class="mono wrap-any">{}</span>', pin_of(key))

    @display(description=_("The only key in use of these gateways"))
    def only_key_of(self, key: SigningKey) -> str:
        names = signing_actions.gateways_given_only(key) if key.retired_at is None else []
        return ", ".join(names) or str(_("none"))

    add_key = Dialog(
        signing_actions.add_signing_key,
        label=_("Add a key"),
        url_path="add-key",
        icon="add",
        title=_("Add a signing key?"),
        text=_(
            "From now on the console signs every configuration with it and with the older keys. Give it to each "
            "gateway in GATEWAY_CONFIG_KEYS, beside or instead of the older one, and start the gateway again. "
            "Then retire the older key."
        ),
        button=_("Add"),
        done=_("The console signs with %(it)s too."),
    )

    retire = Dialog(
        signing_actions.retire_signing_key,
        label=pgettext_lazy("a key", "Retire"),
        url_path="retire",
        icon="block",
        is_dangerous=True,
        title=_("Retire this key?"),
        text=_(
            "The console stops signing with it, for good. Gateways that were given only this key would refuse every "
            "later configuration; if there are any, their names are shown instead."
        ),
        button=pgettext_lazy("a key", "Retire"),
        done=_("%(it)s is retired."),
    )

"""The part of a deployment's page about whose calls its engine serves and which controls clients may send."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.admin.dialogs import Dialog, DialogForm, ReasonForm
from core.dates import DASH
from core.joined import listed, named
from deployments import sharing, statements
from deployments.client_fields import LONGEST_FIELD
from deployments.models import Deployment, Sharing
from tenants.models import Tenant


class SeparationForm(DialogForm):
    field = forms.CharField(
        label=_("Name of the field"),
        max_length=LONGEST_FIELD,
        strip=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("As at the top level of a call, such as cache_salt."),
    )
    reason = forms.CharField(
        label=_("How you know it"),
        max_length=500,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("For example: a mirror of vLLM 0.11, tested with two tenants."),
    )

    def __init__(self, *args: Any, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, object_id=object_id, **kwargs)
        self.deployment = Deployment.objects.filter(pk=object_id).select_related("version").first()

    def clean(self) -> dict[str, Any] | None:
        cleaned: dict[str, Any] | None = super().clean()
        for name in ("field", "reason"):
            if self.deployment is None or name not in self.cleaned_data:
                continue
            try:
                statements.check(self.deployment, **{name: self.cleaned_data[name]})
            except forms.ValidationError as error:
                self.add_error(name, error.messages)
        return cleaned


class TenantForm(DialogForm):
    tenant = forms.CharField(
        label=_("Slug of the tenant"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("As in its addresses, such as aurora-bank. Empty: all tenants."),
    )

    def __init__(self, *args: Any, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, object_id=object_id, **kwargs)
        row = Deployment.objects.filter(pk=object_id).select_related("only_tenant").first()
        self.fields["tenant"].initial = row.only_tenant.slug if row and row.only_tenant else ""

    def clean_tenant(self) -> Tenant | None:
        slug = self.cleaned_data["tenant"].strip()
        found = Tenant.objects.filter(slug=slug).first() if slug else None
        if slug and found is None:
            raise forms.ValidationError(_("There is no tenant with this slug."))
        return found


class ControlsForm(DialogForm):
    names = forms.CharField(
        label=_("Engine controls, one per line"),
        required=False,
        widget=UnfoldAdminTextareaWidget,
        help_text=_("Names of fields, such as ignore_eos. Gateways reject all others by name."),
    )

    def __init__(self, *args: Any, object_id: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, object_id=object_id, **kwargs)
        self.deployment = Deployment.objects.filter(pk=object_id).first()
        allowed = self.deployment.allowed_controls if self.deployment else []
        self.fields["names"].initial = "\n".join(allowed)

    def clean_names(self) -> list[str]:
        names = re.split(r"[\s,]+", self.cleaned_data["names"])
        is_alone = self.deployment is not None and self.deployment.only_tenant_id is not None
        try:
            return sharing.clean_controls(names, serves_one_tenant=is_alone)
        except forms.ValidationError as error:
            raise forms.ValidationError(error.messages) from error


class SharingAdmin:
    """Mixed into the admin of deployments."""

    @display(description=_("Tenants"))
    def tenants_served(self, deployment: Deployment) -> str:
        words = deployment.sharing.label
        if deployment.sharing == Sharing.NOBODY:
            return format_html("<b>{}</b>", words)
        if deployment.sharing == Sharing.ONE_TENANT and deployment.only_tenant:
            return f"{words} {deployment.only_tenant.name} ({deployment.only_tenant.slug})"
        if deployment.sharing == Sharing.ACCEPTED:
            return f"{words} {deployment.sharing_reason}"
        return str(words)

    @display(description=_("Engine"))
    def engine(self, deployment: Deployment) -> str:
        facts = deployment.facts
        known = facts.runtime or str(_("unknown"))
        if facts.cache_key_field:
            return f"{known} ({facts.cache_key_field})"
        return known

    @display(description=_("Separates by, as stated"))
    def statement(self, deployment: Deployment) -> str:
        field = deployment.stated_field
        if not field:
            return "—"
        if deployment.is_statement_in_force:
            return named(field, deployment.stated_reason)
        lapsed = _("lapsed: the image or the command has changed since. State it again if it is still true.")
        return format_html("{} (<b>{}</b>) {}", field, lapsed, deployment.stated_reason)

    @display(description=_("Controls that clients may send"))
    def controls(self, deployment: Deployment) -> str:
        in_force = deployment.controls_in_force
        shown = listed(in_force) or DASH
        idle = [name for name in deployment.allowed_controls if name not in in_force]
        unused = named(_("not in force"), listed(idle))
        return f"{shown} ({unused})" if idle else shown

    dedicate = Dialog(
        sharing.dedicate,
        label=_("Give to one tenant"),
        url_path="dedicate",
        icon="lock_person",
        form=TenantForm,
        title=_("Which tenants' calls should it serve?"),
        text=_("One tenant's, so that others cannot find it, or those of all tenants."),
        button=_("Save"),
        done=_("%(it)s is changed."),
    )

    accept_sharing = Dialog(
        sharing.accept_sharing,
        label=_("Accept a shared cache"),
        url_path="accept-sharing",
        icon="group",
        is_dangerous=True,
        form=ReasonForm,
        title=_("Let tenants share this engine's prefix cache?"),
        text=_(
            "It is not known to separate them: one tenant can find out whether another's prompt begins "
            "like its own guess. The audit log keeps your name and the reason."
        ),
        button=_("Accept"),
        done=_("%(it)s serves all tenants."),
    )

    withdraw_sharing = Dialog(
        sharing.withdraw_sharing,
        label=_("Withdraw acceptance"),
        url_path="withdraw-sharing",
        icon="group_off",
        title=_("Withdraw the acceptance of a shared cache?"),
        text=_("Unless something else separates tenants, it then serves nobody."),
        button=_("Withdraw"),
        done=_("The acceptance for %(it)s is withdrawn."),
    )

    state_separation = Dialog(
        statements.state_separation,
        label=_("State a separating field"),
        url_path="state-separation",
        icon="splitscreen",
        is_dangerous=True,
        form=SeparationForm,
        title=_("By which field does this engine separate its prefix cache?"),
        text=_(
            "Gateways send each tenant's own value in this field, to this engine only, and all tenants "
            "use the engine. If the engine ignores the field, one tenant can find out whether another's "
            "prompt begins like its own guess. The statement covers the current image and command, and "
            "lapses when either changes. The audit log keeps your name and the reason."
        ),
        button=_("State"),
        done=_("%(it)s serves all tenants, separated by %(field)s."),
    )

    withdraw_separation = Dialog(
        statements.withdraw_separation,
        label=_("Withdraw a stated field"),
        url_path="withdraw-separation",
        icon="splitscreen_add",
        title=_("Withdraw the stated field?"),
        text=_("Unless something else separates tenants, it then serves nobody."),
        button=_("Withdraw"),
        done=_("The statement about %(it)s is withdrawn."),
    )

    allow_controls = Dialog(
        sharing.allow_controls,
        label=_("Allow engine controls"),
        url_path="controls",
        icon="tune",
        form=ControlsForm,
        title=_("Which engine controls may clients send?"),
        text=_(
            "Gateways reject fields that control the engine, except these. Only deployments that allow "
            "such a field serve a call with it."
        ),
        button=_("Save"),
        done=_("%(it)s is changed. Gateways know within seconds."),
    )

"""Export and erase what is held about a person, on the person's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import INPUT_CLASSES

from accounts.models import User
from accounts.permissions import signed_in
from core.addresses import AddressFormField, address_or_none
from privacy import personal_data
from privacy.tasks import erase_person


class EraseForm(forms.Form):
    """Two steps on one page: read what is erased, then enter the person's address."""

    address = forms.CharField(
        label=_("Address of the person"), max_length=254,
        help_text=_("Enter it to confirm, so that a wrong click erases nobody."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )  # fmt: skip
    reason = forms.CharField(
        label=_("Reason"), max_length=500, help_text=_("It stays in the audit log. Do not name the person.")
    )
    keys_to = AddressFormField(
        label=_("New owner of their keys"), required=False,
        help_text=_("A member's address. Keys that their role may not hold are revoked. Empty: all keys "
                    "are revoked."),
    )  # fmt: skip

    def __init__(self, *args: Any, person: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person
        for field in self.fields.values():
            field.widget.attrs["class"] = " ".join(INPUT_CLASSES)

    def clean_address(self) -> str:
        address = str(self.cleaned_data["address"]).strip()
        if (address_or_none(address) or address) != self.person.email:
            raise forms.ValidationError(_("This is not the person's address. Nothing was erased."))
        return address

    def clean_keys_to(self) -> User | None:
        if not (address := self.cleaned_data["keys_to"]):
            return None
        new_owner = User.objects.filter(email=address, is_active=True).exclude(pk=self.person.pk).first()
        if new_owner is None:
            raise forms.ValidationError(_("No other person has this address."))
        return new_owner


class PersonalDataMixin:
    """Adds both actions to a person's page."""

    actions_detail: Sequence[str] = ("hand_out", "erase")
    admin_site: Any
    opts: Any

    def has_personal_data_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return personal_data.erase_person.is_for(request.user)

    @action(description=_("Personal data"), url_path="personal-data", permissions=["personal_data"])
    def hand_out(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Send all that is held about the person as a JSON file, streamed while it is read."""
        person, by = self.find_person(object_id), signed_in(request)
        personal_data.export_person.require(by, person)
        parts = personal_data.as_json(personal_data.export_person(person, by=by))
        answer = StreamingHttpResponse(parts, content_type="application/json")
        answer["Content-Disposition"] = 'attachment; filename="personal-data.json"'
        answer["Cache-Control"] = "private, no-store"
        return answer

    @action(
        description=_("Erase"), url_path="erase", permissions=["personal_data"], variant=ActionVariant.DANGER
    )
    def erase(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what would be erased and a form to confirm it; a valid form queues the erasure."""
        person, by = self.find_person(object_id), signed_in(request)
        here = reverse("admin:accounts_user_change", args=[person.pk])
        obstacle = personal_data.what_stands_against_erasing(person)
        if request.method == "POST":
            personal_data.erase_person.require(by, person)
        form = EraseForm(request.POST or None, person=person)
        if form.is_valid():
            reason, new_owner = form.cleaned_data["reason"], form.cleaned_data["keys_to"]
            try:
                personal_data.check_reason(person, reason)
            except forms.ValidationError as error:
                form.add_error("reason", error.messages)
            else:
                erase_person.delay(
                    personal_data.sign_erasure_job(person, requested_by=by, reason=reason, keys_to=new_owner)
                )
                messages.success(
                    request,
                    _("The person is being erased. The audit log says “person.erased” when it is done."),
                )
                return redirect(here)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": _("Erase a person"), "form": form, "person": person, "back": here,
            "obstacle": obstacle, "takes": personal_data.what_erasing_takes(person),
        }  # fmt: skip
        return render(
            request, "admin/accounts/user/erase.html", context, status=422 if form.is_bound else 200
        )

    def find_person(self, object_id: str) -> User:
        person = User.objects.filter(pk=object_id, erased_at=None).first()
        if person is None:
            raise Http404
        return person

"""Forms for requesting a model, deciding a review, and claiming a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.actions import raise_access_request, resend_access_request
from catalog.actions.access_requests import LONGEST_DAYS, MOST_TOKENS_PER_DAY, data_class_problem
from catalog.actions.comments import LONGEST_COMMENT
from catalog.models import AccessRequest, CatalogModel, Grant, ReviewDecision
from core.choices import PickField, offer
from core.form_errors import ShowsErrorsOfHiddenFields, show_errors
from core.page_parts import Option
from tenants.actions import claim_api_key
from tenants.models import ApiKey, DataClass, Project, Tenant
from tenants.permissions import projects_where, service_accounts_where

LIMITS = ("requests_per_minute", "tokens_per_minute", "money_per_month")
# Modes whose calls providers may count in other units than tokens.
_COUNTED_OTHERWISE = frozenset({"rerank", "audio_transcription", "audio_speech", "image_generation"})
_HINTS = {
    DataClass.PUBLIC: _("Anyone may read it."),
    DataClass.INTERNAL: _("For colleagues; a leak harms nobody."),
    DataClass.CONFIDENTIAL: _("About customers or staff; a leak harms them."),
    DataClass.RESTRICTED: _("Secrets and special categories of personal data."),
}


class AccessRequestForm(forms.Form):
    """Five questions. The rest of a request follows from the requester, the model and the rules."""

    project = PickField(Project, by="slug", label=_("Project"), empty_label=None)
    purpose = forms.CharField(
        label=_("What is it for?"),
        max_length=2000,
        widget=forms.Textarea,
        help_text=_("One or two sentences. Reviewers read this first."),
        error_messages={"required": _("Say what it is for, in a sentence or two.")},
    )
    data_class = forms.ChoiceField(
        label=_("Most sensitive data you will send"), choices=DataClass.choices, widget=forms.RadioSelect
    )
    expected_tokens_per_day = forms.IntegerField(
        label=_("Expected tokens per day"),
        min_value=1,
        max_value=MOST_TOKENS_PER_DAY,
        help_text=_("Input and output together."),
        error_messages={
            "required": _("Enter a number, even a rough one."),
            "max_value": _("At most 10,000,000,000,000."),
            "min_value": _("At least 1."),
        },
    )
    duration_days = forms.IntegerField(
        label=_("For how many days"), min_value=1, max_value=LONGEST_DAYS, initial=365
    )
    requests_per_minute = forms.IntegerField(label=_("Requests per minute"), min_value=1, required=False)
    tokens_per_minute = forms.IntegerField(label=_("Tokens per minute"), min_value=1, required=False)
    money_per_month = forms.DecimalField(
        label=_("Money per month"),
        min_value=Decimal("0.01"),
        max_digits=20,
        decimal_places=8,
        required=False,
        help_text=_("A hard stop."),
    )

    def __init__(self, *args: Any, user: User, tenant: Tenant, model: CatalogModel, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user, self.tenant, self.model = user, tenant, model
        if model.mode in _COUNTED_OTHERWISE:
            self.fields["tokens_per_minute"].help_text = _(
                "Calls of this model may be counted by the piece, second or character. Then they count no tokens: "
                "limit requests or money."
            )
        if "project" in self.fields:
            projects = projects_where(user, raise_access_request.permission, tenant)
            source = reverse("suggestions", args=[tenant.slug, "askable-projects"])
            offer(self, "project", projects, source=source)
        self.initial.setdefault("data_class", self._usual_data_class())

    def _usual_data_class(self) -> str:
        is_allowed = not data_class_problem(self.tenant, self.model, DataClass.INTERNAL)
        return DataClass.INTERNAL if is_allowed else DataClass.PUBLIC

    def data_class_options(self) -> list[Option]:
        """Every data class. Classes that cannot be chosen stay visible, with the reason."""
        chosen = self["data_class"].value()
        options = []
        for data_class in DataClass:
            problem = data_class_problem(self.tenant, self.model, data_class)
            options.append(
                Option(
                    value=data_class.value,
                    label=data_class.label,
                    hint=_HINTS[data_class],
                    disabled=problem is not None,
                    reason=problem or "",
                    checked=data_class.value == chosen,
                )
            )
        return options

    def limits(self) -> dict[str, Any]:
        return {kind: self.cleaned_data[kind] for kind in LIMITS if self.cleaned_data.get(kind) is not None}

    def send(self) -> AccessRequest | None:
        """Create the request. Returns None if the rules reject it; the form's errors then give the reasons."""
        answers = self.cleaned_data
        try:
            return raise_access_request(
                answers["project"],
                self.model.name,
                by=self.user,
                purpose=answers["purpose"],
                expected_tokens_per_day=answers["expected_tokens_per_day"],
                data_class=answers["data_class"],
                limits=self.limits(),
                duration_days=answers["duration_days"],
            )
        except ValidationError as refused:
            show_errors(self, refused)
            return None


class ChangeRequestForm(AccessRequestForm):
    """The questions of a request that was returned for changes; project and model stay."""

    project = None  # type: ignore[assignment]

    def __init__(self, *args: Any, user: User, access_request: AccessRequest, **kwargs: Any) -> None:
        items = access_request.named_items()
        asked = {name: getattr(access_request, name) for name in ("purpose", "duration_days")}
        asked |= {name: getattr(items[0], name) for name in ("data_class", "expected_tokens_per_day")}
        super().__init__(
            *args,
            user=user,
            tenant=access_request.tenant,
            model=items[0].model,
            initial=asked | items[0].limits,
            **kwargs,
        )
        self.access_request = access_request
        self.has_several = len(items) > 1
        if self.has_several:
            # Each model has its own: the API changes them.
            for name in ("data_class", "expected_tokens_per_day", *LIMITS):
                del self.fields[name]

    def send(self) -> AccessRequest | None:
        """Send the request again. Returns None if the rules reject it; the form's errors then give the reasons."""
        answers = self.cleaned_data
        try:
            return resend_access_request(
                self.access_request.pk,
                by=self.user,
                purpose=answers["purpose"],
                expected_tokens_per_day=answers.get("expected_tokens_per_day"),
                data_class=answers.get("data_class"),
                limits=None if self.has_several else self.limits(),
                duration_days=answers["duration_days"],
            )
        except ValidationError as refused:
            show_errors(self, refused)
            return None


class DecisionForm(ShowsErrorsOfHiddenFields, forms.Form):
    """A reviewer's verdict. A rejection requires a comment; the action checks this."""

    verdict = forms.ChoiceField(label=_("Decision"), choices=ReviewDecision.Verdict.choices)
    # The facts that the page shows.
    seen = forms.JSONField(
        required=False,
        widget=forms.HiddenInput,
        error_messages={
            "invalid": _("The form does not say which facts it was made for. Open the page again.")
        },
    )
    comment = forms.CharField(label=_("Comment"), max_length=2000, required=False, widget=forms.Textarea)


class DecideManyForm(forms.Form):
    """One verdict and one comment for the chosen reviews; each is sent with the facts that the page showed of it."""

    verdict = forms.ChoiceField(label=_("Decision"), choices=ReviewDecision.Verdict.choices)
    comment = forms.CharField(label=_("Comment"), max_length=2000, required=False, widget=forms.Textarea)

    def read_chosen(self, names: list[str], sent: Mapping[str, Any]) -> list[tuple[UUID, Any]]:
        """The chosen reviews with their facts. Leaves out what is no id, or says nothing of the facts."""
        chosen = []
        for name in names:
            try:
                chosen.append((UUID(name), json.loads(sent.get(f"seen-{name}", ""))))
            except ValueError:
                continue
        return chosen


class CommentForm(forms.Form):
    """A comment on a request."""

    text = forms.CharField(
        label=_("Comment"),
        max_length=LONGEST_COMMENT,
        widget=forms.Textarea,
        error_messages={"required": _("Write something."), "max_length": _("Use at most 4,000 characters.")},
    )


class ClaimForm(forms.Form):
    """The owner of a claimed key: the claimer, or a service account that may hold keys of the project."""

    owner = PickField(
        User,
        by="email",
        label=_("Belongs to"),
        required=False,
        empty_label=_("Me"),
        help_text=_("A service account's key keeps working when people leave."),
        error_messages={"invalid_choice": _("Choose an active service account of this tenant.")},
    )

    def __init__(self, *args: Any, key: ApiKey, is_emergency: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if is_emergency:
            self.fields["owner"].empty_label = _("Choose a service account")  # type: ignore[attr-defined]
        accounts = service_accounts_where(claim_api_key.permission, key.project).order_by("name", "pk")
        source = reverse("suggestions", args=[key.tenant.slug, "service-accounts"])
        offer(self, "owner", accounts, source=f"{source}?in={key.project_id}")


class RevokeGrantForm(forms.Form):
    """Why a grant is revoked."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=Grant.LONGEST_REASON,
        help_text=_("People who use the model in this project read it."),
    )

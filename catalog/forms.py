"""Forms for deciding a review, comments, and claiming a key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.actions.comments import LONGEST_COMMENT
from catalog.models import Grant, ReviewDecision
from core.choices import PickField, offer
from core.form_errors import ShowsErrorsOfHiddenFields
from tenants.actions import claim_api_key
from tenants.models import ApiKey
from tenants.permissions import service_accounts_where


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

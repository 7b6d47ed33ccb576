"""Forms for requesting models, and for changing a request that was returned."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.actions import raise_access_request, resend_access_request
from catalog.actions.access_requests import (
    LONGEST_DAYS,
    MOST_ITEMS,
    MOST_TOKENS_PER_DAY,
    WantedItem,
)
from catalog.actions.granted_keys import own_keys
from catalog.answers import newest_answers, sets_in_force
from catalog.models import AccessRequest, CatalogModel, RequestItem
from catalog.question_fields import AsksQuestions
from catalog.request_problems import data_class_problem
from core.choices import PickField, offer
from core.form_errors import show_errors
from core.page_parts import Option
from tenants.models import ApiKey, DataClass, Project, Tenant
from tenants.permissions import projects_where

LIMITS = ("requests_per_minute", "tokens_per_minute", "money_per_month")
# Modes whose calls providers may count in other units than tokens.
_COUNTED_OTHERWISE = frozenset({"rerank", "audio_transcription", "audio_speech", "image_generation"})
_HINTS = {
    DataClass.PUBLIC: _("Anyone may read it."),
    DataClass.INTERNAL: _("For colleagues; a leak harms nobody."),
    DataClass.CONFIDENTIAL: _("About customers or staff; a leak harms them."),
    DataClass.RESTRICTED: _("Secrets and special categories of personal data."),
}


class ItemForm(forms.Form):
    """What is asked of each model."""

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

    def limits(self) -> dict[str, Any]:
        """The limits that are asked for, by kind."""
        return {kind: self.cleaned_data[kind] for kind in LIMITS if self.cleaned_data.get(kind) is not None}


class FurtherForm(ItemForm):
    """One further model of a request: its fields are in a row of their own, with a number."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, number: int, **kwargs: Any) -> None:
        super().__init__(data, prefix=f"items-{number}", **kwargs)
        self.fields["data_class"].widget = forms.Select(choices=DataClass.choices)
        self.initial.setdefault("data_class", DataClass.INTERNAL)


class FurtherModelForm(FurtherForm):
    """A further model of a new request, for a project that may be another one."""

    model = PickField(CatalogModel, by="name", label=_("Model"), empty_label=_("Choose a model"))
    project = PickField(Project, by="slug", label=_("Project"), empty_label=None)
    field_order = ("model", "project")

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, user: User, tenant: Tenant, **kwargs: Any
    ) -> None:
        super().__init__(data, **kwargs)
        projects = projects_where(user, raise_access_request.permission, tenant)
        source = reverse("suggestions", args=[tenant.slug, "askable-projects"])
        offer(self, "project", projects, source=source)
        models = CatalogModel.objects.offered_to([tenant]).order_by("title", "name")
        offer(self, "model", models, source=reverse("suggestions", args=[tenant.slug, "offered-models"]))

    @property
    def wanted(self) -> WantedItem:
        """What the row asks for. The form must be valid."""
        answers = self.cleaned_data
        return WantedItem(
            project=answers["project"],
            model_name=answers["model"].name,
            expected_tokens_per_day=answers["expected_tokens_per_day"],
            data_class=answers["data_class"],
            limits=self.limits(),
        )


class KeyField(PickField):
    """One of the person's keys, by its name and its project's."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.project.name}"


class AccessRequestForm(AsksQuestions, ItemForm):
    """Five questions, and the same of further models. The rest of a request follows from the requester and the rules.

    A further model is a row of fields with a number. A row that names no model and no tokens asks for nothing.
    """

    project = PickField(Project, by="slug", label=_("Project"), empty_label=None)
    purpose = forms.CharField(
        label=_("What is it for?"),
        max_length=2000,
        widget=forms.Textarea,
        help_text=_("One or two sentences. Reviewers read this first."),
        error_messages={"required": _("Say what it is for, in a sentence or two.")},
    )
    duration_days = forms.IntegerField(
        label=_("For how many days"), min_value=1, max_value=LONGEST_DAYS, initial=365
    )
    into_key = KeyField(
        ApiKey,
        by="prefix",
        label=_("Key"),
        required=False,
        empty_label=_("A new key, to be claimed"),
        help_text=_("Or a key of yours in this project, or of a service account that you answer for."),
    )
    field_order = ("project", "purpose", "data_class", "expected_tokens_per_day", "duration_days")

    def __init__(self, *args: Any, user: User, tenant: Tenant, model: CatalogModel, **kwargs: Any) -> None:
        self.rows: list[dict[str, Any]] = kwargs.pop("rows", [])
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
        if "into_key" in self.fields:
            keys = own_keys(user).filter(tenant=tenant).select_related("project").order_by("name", "pk")
            offer(self, "into_key", keys)
        self.initial.setdefault("data_class", self._usual_data_class())

    @cached_property
    def further(self) -> list[Any]:
        """The forms of further models: those that were sent and say something, or `rows` of a form to fill in."""
        common: dict[str, Any] = {"user": self.user, "tenant": self.tenant}
        if not self.is_bound:
            return [
                FurtherModelForm(number=number, initial=row, **common)
                for number, row in enumerate(self.rows, 1)
            ]
        return [FurtherModelForm(self.data, number=number, **common) for number in _numbers_in(self.data)]

    def is_valid(self) -> bool:
        are_valid = [row.is_valid() for row in self.further]
        if self.is_bound and not all(are_valid) and not self.non_field_errors():
            self.add_error(None, _("Correct what is wrong with the further models."))
        return super().is_valid() and all(are_valid)

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
                more=[row.wanted for row in self.further],
                into_key=answers["into_key"],
                answers=self.answers(),
            )
        except ValidationError as refused:
            self.show(refused)
            return None

    def show(self, refused: ValidationError) -> None:
        """Show what an action found wrong, beside the field of the row that it is about."""
        own: dict[str, Any] = {}
        for name, errors in refused.update_error_dict({}).items():
            items, number, field = (*name.split("."), "", "")[:3]
            if items == "items" and number.isdigit() and int(number) <= len(self.further):
                show_errors(self.further[int(number) - 1], ValidationError({field: errors}))
                own.setdefault("__all__", [_("Correct what is wrong with the further models.")])
            else:
                own[name] = errors
        show_errors(self, ValidationError(own))


def _numbers_in(data: Mapping[str, Any]) -> list[int]:
    """The numbers of the rows that were sent and say something."""
    said = ("model", "expected_tokens_per_day")
    return [
        number
        for number in range(1, MOST_ITEMS)
        if any(str(data.get(f"items-{number}-{name}", "")).strip() for name in said)
    ]


def reopened(
    sent: Mapping[str, Any], *, user: User, tenant: Tenant, model: CatalogModel
) -> AccessRequestForm:
    """The form as it was sent, not judged yet, with one row more or less.

    Args:
        sent: the fields as they were sent; `add` adds a row, and `remove` is the number of one to leave out.
        user: who asks.
        tenant: for whom.
        model: the first model.
    """
    names = ("model", "project", *ItemForm.base_fields)
    rows = [
        {name: sent.get(f"items-{number}-{name}", "") for name in names}
        for number in _numbers_in(sent)
        if str(number) != sent.get("remove")
    ]
    if "add" in sent and len(rows) < MOST_ITEMS - 1:
        rows.append({"project": sent.get("project", "")})
    initial = {name: sent[name] for name in AccessRequestForm.base_fields if name in sent}
    return AccessRequestForm(user=user, tenant=tenant, model=model, initial=initial, rows=rows)


class FurtherItemForm(FurtherForm):
    """A further item of a returned request; its model and project stay."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, item: RequestItem, **kwargs: Any) -> None:
        initial = {name: getattr(item, name) for name in ("data_class", "expected_tokens_per_day")}
        super().__init__(data, initial=initial | item.limits, **kwargs)
        self.item = item


class ChangeRequestForm(AccessRequestForm):
    """The questions of a request that was returned for changes; models and projects stay."""

    project = None  # type: ignore[assignment]
    into_key = None  # type: ignore[assignment]

    def __init__(self, *args: Any, user: User, access_request: AccessRequest, **kwargs: Any) -> None:
        self.items = access_request.named_items()
        first = self.items[0]
        asked = {name: getattr(access_request, name) for name in ("purpose", "duration_days")}
        asked |= {name: getattr(first, name) for name in ("data_class", "expected_tokens_per_day")}
        super().__init__(
            *args,
            user=user,
            tenant=access_request.tenant,
            model=first.model,
            initial=asked | first.limits,
            **kwargs,
        )
        self.access_request = access_request
        before = newest_answers(access_request)
        tracks = [review.track_id for review in access_request.reviews.all()]
        self.ask(sets_in_force(tracks), {track: row.answers for track, row in before.items()})

    @cached_property
    def further(self) -> list[Any]:
        data = self.data if self.is_bound else None
        return [
            FurtherItemForm(data, item=item, number=number) for number, item in enumerate(self.items[1:], 1)
        ]

    def send(self) -> AccessRequest | None:
        """Send the request again. Returns None if the rules reject it; the form's errors then give the reasons."""
        answers = self.cleaned_data
        items = {
            str(item.pk): {
                "data_class": form.cleaned_data["data_class"],
                "expected_tokens_per_day": form.cleaned_data["expected_tokens_per_day"],
                "limits": form.limits(),
            }
            for item, form in zip(self.items, [self, *self.further], strict=True)
        }
        try:
            return resend_access_request(
                self.access_request.pk,
                by=self.user,
                purpose=answers["purpose"],
                duration_days=answers["duration_days"],
                items=items,
                answers=self.answers(),
            )
        except ValidationError as refused:
            self.show(refused)
            return None

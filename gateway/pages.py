"""The page on which a project's limits are read and set, beside what the ledger says is used of them."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.generic.detail import SingleObjectMixin

from gateway.contract import NANO
from gateway.used import WINDOWED, used_of
from tenants.actions import set_limits
from tenants.actions.limits import clean_limits
from tenants.limits import binding_limits, models_of
from tenants.models import ApiKey, Limit, Project
from tenants.permissions import signed_in
from tenants.views.mixins import TenantScopedMixin
from tenants.views.settings import FormPage

MOST_KEYS: Final = 100  # that the page offers to choose from; the address of any other one works too
MOST_ROWS: Final = 200  # that the table shows; the API has all


class LimitsForm(forms.Form):
    """One number for each kind; empty: no limit. What was shown comes back too: only what one changed is set."""

    def __init__(self, *args: Any, currency: str, hints: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind, label in Limit.Kind.choices:
            is_money = kind == Limit.Kind.MONEY_PER_MONTH
            options: dict[str, Any] = {
                "label": f"{label} ({currency})" if is_money else label,
                "required": False,
                "help_text": hints[kind],
                "show_hidden_initial": True,
                "error_messages": {"invalid": _("Enter a number, such as 1000; empty means no limit.")},
            }
            placeholder = {"placeholder": _("No limit here"), "autocomplete": "off"}
            self.fields[kind] = (
                forms.DecimalField(**options, widget=forms.NumberInput(attrs=placeholder | {"min": "0"}))
                if is_money
                else forms.IntegerField(**options, widget=forms.NumberInput(attrs=placeholder | {"min": "1"}))
            )


class ProjectLimits(TenantScopedMixin, SingleObjectMixin, FormPage):  # type: ignore[type-arg]
    """Limits of a project, or of one of its keys, for one model or all; read by everybody in the tenant.

    A number below what is used already is set only after a second look, as it refuses calls from then on.
    """

    model = Project
    template_name = "gateway/project_limits.html"
    permission = "tenants.manage_limits"
    object: Project
    form: forms.Form

    def subject(self) -> Project:
        self.object = self.get_object()
        return self.object

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.subject()
        user = signed_in(request)
        is_member = user.own_tenants().filter(tenant=self.tenant).exists()
        if not (is_member or user.is_superuser or user.staff_roles & Limit.visible_to_staff):
            raise Http404  # an empty page would say that there are no limits
        return self.render_to_response(self.get_context_data(form=self.make_form()))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.below: list[dict[str, str]] = []
        form = self.send(request, self._set_or_ask)
        if form is not None:
            return self.again(form)
        if self.below:
            sent = [pair for pair in request.POST.items() if pair[0] != "csrfmiddlewaretoken"]
            context = self.get_context_data(below=self.below, sent=sent)
            return render(request, "gateway/project_limits_lower.html", context)
        messages.success(request, _("Limits are saved. Gateways know them within seconds."))
        return redirect(request.get_full_path())

    def _set_or_ask(self, said: dict[str, Any]) -> None:
        values = {kind: said[kind] for kind in self.form.changed_data}
        if "confirmed" not in self.request.POST:
            self.below = [
                {"label": str(Limit.Kind(kind).label), "limit": self._words(kind, value), "used": used}
                for kind, value in clean_limits(values).items()
                if (used := self._used_above(kind, value))
            ]
        if not self.below:
            place = {"key": self.key} if self.key else {"project": self.object}
            set_limits(self.tenant, values, by=signed_in(self.request), model=self.model_name, **place)

    @cached_property
    def key(self) -> ApiKey | None:
        """The key that the page is narrowed to."""
        pk = self.request.GET.get("key", "")
        keys = ApiKey.objects.visible_to(signed_in(self.request)).in_tenant(self.tenant)
        return get_object_or_404(keys.filter(project=self.object), pk=pk) if pk else None

    @cached_property
    def models(self) -> list[str]:
        return models_of(self.object)

    @cached_property
    def model_name(self) -> str:
        """The model that the page is narrowed to; empty: all together."""
        name = self.request.GET.get("model", "")
        if name and name not in self.models:
            raise Http404
        return name

    @cached_property
    def limits(self) -> list[Limit]:
        """What binds this project, as far as the person may see limits at all."""
        limits = binding_limits(self.object).visible_to(signed_in(self.request))
        return list(limits[: MOST_ROWS + 1])

    @cached_property
    def here(self) -> dict[str, Limit]:
        """By kind, the limit that the form shows; one that is not set counts as one to be made."""
        place = {
            "tenant": self.tenant,
            "project": None if self.key else self.object,
            "key": self.key,
            "model": self.model_name,
        }
        rows = Limit.objects.visible_to(signed_in(self.request)).filter(**place)
        found = {limit.kind: limit for limit in rows.select_related("tenant", "project", "key")}
        return {kind: found.get(kind) or Limit(**place, kind=kind) for kind in Limit.Kind.values}

    @cached_property
    def used(self) -> dict[str, Decimal]:
        """By kind, what the ledger has seen of these calls in the current day or month."""
        seen = used_of(list(self.here.values()))
        return {
            kind: Decimal(seen[limit.pk]) / (NANO if kind == Limit.Kind.MONEY_PER_MONTH else 1)
            for kind, limit in self.here.items()
            if limit.pk in seen
        }

    def _used_words(self, kind: str) -> str:
        """What is used, in words; a part of a cent counts as one."""
        return self._words(kind, self.used[kind].quantize(Decimal("0.01"), ROUND_CEILING))

    def make_form(self, data: Any = None) -> forms.Form:
        initial = {
            kind: f"{limit.value.normalize():f}"
            for kind, limit in self.here.items()
            if limit.value is not None
        }
        hints = {kind: self._hint(limit) for kind, limit in self.here.items()}
        self.form = LimitsForm(data, initial=initial, currency=self.tenant.currency, hints=hints)
        return self.form

    def _used_above(self, kind: str, value: Decimal) -> str:
        """What is used, in words, where that is more than `value`; else empty."""
        return self._used_words(kind) if self.used.get(kind, Decimal()) > value else ""

    def _words(self, kind: str, value: Decimal) -> str:
        """A number of this kind as people read it; money to the cent, or as exactly as somebody set it."""
        if kind != Limit.Kind.MONEY_PER_MONTH:
            return f"{int(value):,}"
        cents = value.quantize(Decimal("0.01"))
        number = f"{cents:,f}" if cents == value else f"{value.normalize():,f}"
        return f"{number} {self.tenant.currency}"

    def _hint(self, here: Limit) -> str:
        """What else is checked for the same calls, and how much is used."""
        also = [
            f"{self._words(one.kind, one.value)} ({self._place(one)})"
            for one in self.limits
            if one.kind == here.kind
            and one.pk != here.pk
            and one.model in ("", here.model)
            and (one.key_id in (None, here.key_id))
        ]
        words = [_("Now %(limit)s.") % {"limit": self._words(here.kind, here.value)}] if here.value else []
        words += [_("Also checked: %(limits)s.") % {"limits": ", ".join(also)}] if also else []
        if here.kind in WINDOWED:
            said = {"used": self._used_words(here.kind)}
            words.append(
                _("Used today: %(used)s.") % said
                if here.kind == Limit.Kind.TOKENS_PER_DAY
                else _("Used this month: %(used)s.") % said
            )
        return " ".join(words)

    def _place(self, limit: Limit) -> str:
        """What a limit is set on, in words."""
        on = limit.key.name if limit.key else limit.project.name if limit.project else self.tenant.name
        return f"{on}, {limit.model}" if limit.model else on

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = signed_in(self.request)
        keys = ApiKey.objects.visible_to(user).in_tenant(self.tenant).filter(project=self.object).current()
        offered = list(keys.order_by("-pk")[:MOST_KEYS])
        return super().get_context_data(**kwargs) | {
            "may_manage": user.has_perm(self.permission, self.object),
            "rows": [(limit, self._words(limit.kind, limit.value)) for limit in self.limits[:MOST_ROWS]],
            "has_more_rows": len(self.limits) > MOST_ROWS,
            "key": self.key,
            "keys": offered if self.key is None or self.key in offered else [self.key, *offered],
            "models": self.models,
            "model_name": self.model_name,
        }

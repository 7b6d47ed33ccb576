"""The page for reading and setting a project's limits, with what the ledger has recorded as used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.generic.detail import SingleObjectMixin

from accounts.permissions import signed_in
from core.choices import SuggestingInput
from core.keyset import page_of_parts, requested_place
from core.tenant_managers import TenantQuerySet
from gateway.contract import NANO
from gateway.limit_forms import CallsForm, LimitsForm
from gateway.used import WINDOWED, used_of
from tenants.actions import set_limits
from tenants.actions.limits import clean_limits
from tenants.limits import binding_limits, limits_beside, models_of
from tenants.models import ApiKey, Limit, Project
from tenants.views.mixins import TenantScopedMixin, not_shown
from tenants.views.settings import FormPage

PAGE_SIZE: Final = 25


@dataclass(frozen=True)
class LimitsPage:
    """The content of the page of limits."""

    may_manage: bool
    rows: list[tuple[Limit, str]]
    term: str
    narrowed: Iterable[tuple[str, str]]
    all_url: str
    calls: Any
    key: ApiKey | None
    model_name: str


class ProjectLimits(TenantScopedMixin[TenantQuerySet[Project]], SingleObjectMixin, FormPage):  # type: ignore[type-arg]
    """Limits of a project, or of one of its keys, for one model or all; everyone in the tenant can read them.

    A number below the current usage requires a confirmation step, as it refuses calls from then on.
    """

    model = Project
    template_name = "gateway/project_limits.html"
    action = set_limits
    object: Project
    form: forms.Form

    def subject(self) -> Limit:
        """A limit of the project; the form says precisely what it covers."""
        self.object = self.get_object()
        return Limit(tenant=self.tenant, project=self.object)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.found = self.subject()
        user = signed_in(request)
        # An empty page would suggest that there are no limits.
        if hidden := not_shown(user, self.tenant, Limit):
            raise PermissionDenied(hidden)
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
        messages.success(request, _("Limits saved. Gateways enforce them within seconds."))
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
    def calls(self) -> CallsForm:
        """The calls that the page is narrowed to. Raises Http404 if the address names something that does not exist.

        For a name that someone typed into a field, the field shows what is wrong with it.
        """
        keys = ApiKey.objects.visible_to(signed_in(self.request)).in_tenant(self.tenant)
        form = CallsForm(
            self.request.GET,
            keys=keys.filter(project=self.object),
            models=models_of(self.object),
            source=lambda kind: (
                f"{reverse('suggestions', args=[self.tenant.slug, kind])}?in={self.object.pk}"
            ),
            auto_id="at-%s",
        )
        for name in form.errors:
            is_typed = isinstance(form.fields[name].widget, SuggestingInput)
            if self.request.method == "POST" or not is_typed:
                raise Http404
        return form

    @property
    def key(self) -> ApiKey | None:
        """The key that the page is narrowed to."""
        key: ApiKey | None = self.calls.cleaned_data.get("key")
        return key

    @property
    def model_name(self) -> str:
        """The model that the page is narrowed to; empty: all models together."""
        return str(self.calls.cleaned_data.get("model", ""))

    @cached_property
    def checked(self) -> list[Limit]:
        """The limits checked for the calls that the page is narrowed to, if the person may see limits at all."""
        models = dict.fromkeys(["", self.model_name])
        found = limits_beside(self.object, signed_in(self.request), key=self.key, models=models)
        return list(
            found.order_by(F("key").asc(nulls_first=True), F("project").asc(nulls_first=True), "model")
        )

    @cached_property
    def here(self) -> dict[str, Limit]:
        """By kind, the limit that the form shows; an unset one is a new, unsaved limit."""
        project = None if self.key else self.object
        place = {"tenant": self.tenant, "project": project, "key": self.key, "model": self.model_name}
        found = {
            limit.kind: limit
            for limit in self.checked
            if (limit.project, limit.key, limit.model) == (project, self.key, self.model_name)
        }
        return {kind: found.get(kind) or Limit(**place, kind=kind) for kind in Limit.Kind.values}

    @cached_property
    def used(self) -> dict[str, Decimal]:
        """By kind, what the ledger has recorded of these calls in the current day or month."""
        seen = used_of(list(self.here.values()))
        return {
            kind: Decimal(seen[limit.pk]) / (NANO if kind == Limit.Kind.MONEY_PER_MONTH else 1)
            for kind, limit in self.here.items()
            if limit.pk in seen
        }

    def _used_words(self, kind: str) -> str:
        """The usage in words; a fraction of a cent counts as a whole one."""
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
        """The usage in words if it is more than `value`; otherwise empty."""
        return self._used_words(kind) if self.used.get(kind, Decimal()) > value else ""

    def _words(self, kind: str, value: Decimal) -> str:
        """A number of this kind as people read it; money to the cent, or as exactly as someone set it."""
        if kind != Limit.Kind.MONEY_PER_MONTH:
            return f"{int(value):,}"
        cents = value.quantize(Decimal("0.01"))
        number = f"{cents:,f}" if cents == value else f"{value.normalize():,f}"
        return f"{number} {self.tenant.currency}"

    def _hint(self, here: Limit) -> str:
        """The other limits on the same calls, and how much is used."""
        also = [
            f"{self._words(one.kind, one.value)} ({self._place(one)})"
            for one in self.checked
            if one.kind == here.kind and one.pk != here.pk
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
        """In words, what a limit is set on."""
        on = limit.key.name if limit.key else limit.project.name if limit.project else self.tenant.name
        return f"{on}, {limit.model}" if limit.model else on

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user, asked = signed_in(self.request), self.request.GET
        term = asked.get("q", "").strip()
        page = page_of_parts(
            binding_limits(self.object, user, term=term),
            size=PAGE_SIZE,
            **requested_place(asked),
        )
        narrowed = {"key": str(self.key.pk) if self.key else "", "model": self.model_name}
        narrowed = {name: value for name, value in narrowed.items() if value}
        here = narrowed | ({"q": term} if term else {})
        return (
            super().get_context_data(**kwargs)
            | vars(
                LimitsPage(
                    may_manage=set_limits.is_permitted(user, Limit(tenant=self.tenant, project=self.object)),
                    rows=[(limit, self._words(limit.kind, limit.value)) for limit in page.rows],
                    term=term,
                    narrowed=narrowed.items(),
                    all_url=f"?{urlencode(narrowed)}#h-all",
                    calls=self.calls,
                    key=self.key,
                    model_name=self.model_name,
                )
            )
            | page.links(fragment="h-all", **here)
        )

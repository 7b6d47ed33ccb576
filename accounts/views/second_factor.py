"""A person's second factor: set it up, confirm with a code, renew recovery codes, turn it off."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import segno
from django import forms
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.generic import FormView, TemplateView

from accounts import second_factor
from accounts.actions import (
    confirm_with_code,
    enrol_authenticator,
    renew_recovery_codes,
    turn_off_second_factor,
)
from accounts.models import SecondFactor, User
from accounts.permissions import signed_in
from accounts.session_store import PREFIX
from accounts.sessions import session_has_second_factor
from accounts.views.half_signed_in import complete_second_step, half_signed_in
from core.client_address import caller_place
from core.rate_limits import limit_rate
from core.scope import platform_scope

PENDING = f"{PREFIX}pending_authenticator"


class CodeForm(forms.Form):
    """Six digits from the app, or a recovery code."""

    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=40,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": "text",
                "autofocus": True,
                "spellcheck": "false",
                "class": "mono",
            }
        ),
    )


def _after(request: HttpRequest, otherwise: str) -> str:
    """The URL in `next`, if it leads into this console."""
    wanted = request.POST.get("next", request.GET.get("next", ""))
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if wanted and is_ours else reverse(otherwise)


def _grant_second_factor(request: HttpRequest) -> None:
    """Mark this session as one with a second factor; its key changes, as at a sign-in."""
    request.session[f"{PREFIX}has_second_factor"] = True
    request.session.cycle_key()


@method_decorator(never_cache, name="dispatch")
class ConfirmSecondFactor(FormView):  # type: ignore[type-arg]
    """Ask for a code: after the password, or later because a page requires it."""

    template_name = "accounts/second_factor_confirm.html"
    form_class = CodeForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.is_signing_in = not request.user.is_authenticated
        person = half_signed_in(request) if self.is_signing_in else signed_in(request)
        if person is None:
            messages.info(request, _("That took longer than five minutes. Sign in again."))
            return redirect_to_login(_after(request, "home"))
        if not second_factor.has_authenticator(person):
            return redirect(f"{reverse('second-factor-enrol')}?next={_after(request, 'home')}")
        self.person: User = person
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {
            "person": self.person,
            "next": _after(self.request, "home"),
            "is_signing_in": self.is_signing_in,
        }

    def form_valid(self, form: CodeForm) -> HttpResponse:
        limit_rate("sign_in", caller_place(self.request))
        with platform_scope("a second factor is confirmed before there is a scope"):
            verdict = confirm_with_code(self.person, form.cleaned_data["code"])
        if not verdict.is_right:
            if verdict.wait_until:
                words = _("Wrong code. Wait until %(time)s UTC before the next one.") % {
                    "time": verdict.wait_until.strftime("%H:%M:%S")
                }
            else:
                words = _("Wrong code. Each code works once; wait for the next one.")
            form.add_error("code", words)
            return self.form_invalid(form)
        if self.is_signing_in:
            then = complete_second_step(self.request, self.person)
        else:
            _grant_second_factor(self.request)
            then = _after(self.request, "home")
        if verdict.is_recovery_code:
            messages.warning(
                self.request,
                _("You used a recovery code. It will not work again; set up an authenticator soon."),
            )
        return HttpResponseRedirect(then)

    def form_invalid(self, form: CodeForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=400)


class _OwnSecondFactor(LoginRequiredMixin):
    """Opens pages that change the second factor only to a session with it, or to people who have none yet."""

    request: HttpRequest

    @method_decorator(never_cache)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            person = signed_in(request)
            if second_factor.has_authenticator(person) and not session_has_second_factor(request):
                return redirect(f"{reverse('second-factor-confirm')}?next={request.path}")
        return super().dispatch(request, *args, **kwargs)


class SecondFactorPage(LoginRequiredMixin, TemplateView):
    """Show whether a second factor is set up, and what the person can do with it."""

    template_name = "accounts/second_factor.html"

    @method_decorator(never_cache)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person = signed_in(self.request)
        factor = SecondFactor.objects.filter(user=person).first()
        return super().get_context_data(**kwargs) | {
            "factor": factor,
            "codes_left": factor.recovery_codes.filter(used_at=None).count() if factor else 0,
            "is_required": second_factor.is_required_of(person),
        }


class EnrolSecondFactor(_OwnSecondFactor, FormView):  # type: ignore[type-arg]
    """Show the secret to the app, and ask for a first code. Nothing changes before the code is correct."""

    template_name = "accounts/second_factor_enrol.html"
    form_class = CodeForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """As every page with a secret, it is kept by nobody and never compressed (config/compression.py)."""
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Cache-Control"] = "private, no-store"
        response.shows_secret = True  # type: ignore[attr-defined]
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        person, secret = signed_in(self.request), self._pending()
        text = second_factor.spelled(secret)
        code = segno.make(second_factor.provisioning_uri(person, secret), error="m")
        return super().get_context_data(**kwargs) | {
            "qr": code.svg_data_uri(scale=5, border=4, dark="#000", light="#fff"),
            "secret": " ".join(text[at : at + 4] for at in range(0, len(text), 4)),
            "next": _after(self.request, "second-factor"),
            "is_required": second_factor.is_required_of(person),
            "is_another": second_factor.has_authenticator(person),
        }

    def form_valid(self, form: CodeForm) -> HttpResponse:
        codes = enrol_authenticator(
            signed_in(self.request),
            self._pending(),
            form.cleaned_data["code"],
            may_replace=session_has_second_factor(self.request),
        )
        if codes is None:
            form.add_error(
                "code", _("This code is wrong. Check the clock of your phone, then enter the current code.")
            )
            return self.form_invalid(form)
        del self.request.session[PENDING]
        _grant_second_factor(self.request)
        return show_codes(self.request, codes, then=_after(self.request, "second-factor"), is_new=True)

    def form_invalid(self, form: CodeForm) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=400)

    def _pending(self) -> bytes:
        """The secret on this page, encrypted in the session; it stays the same until a code of it is correct."""
        if PENDING not in self.request.session:
            ciphertext = second_factor.encrypt_secret(second_factor.new_secret())
            self.request.session[PENDING] = b64encode(ciphertext).decode()
        return second_factor.decrypt_secret(b64decode(self.request.session[PENDING]))


class RecoveryCodes(_OwnSecondFactor, TemplateView):
    """Ask whether to make new recovery codes, and show them once."""

    template_name = "accounts/second_factor_codes_renew.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        return show_codes(request, renew_recovery_codes(signed_in(request)), then=reverse("second-factor"))


class TurnOffSecondFactor(_OwnSecondFactor, TemplateView):
    """Ask for confirmation, and remove the second factor."""

    template_name = "accounts/second_factor_off.html"

    def post(self, request: HttpRequest) -> HttpResponse:
        turn_off_second_factor(signed_in(request))
        request.session.pop(f"{PREFIX}has_second_factor", None)
        request.session.cycle_key()
        messages.success(request, _("Second factor turned off"))
        return redirect("second-factor")


def show_codes(request: HttpRequest, codes: list[str], *, then: str, is_new: bool = False) -> HttpResponse:
    """The one page that shows recovery codes.

    Args:
        request: the request that created the codes.
        codes: the codes in clear text; they are shown only here.
        then: URL of the next page.
        is_new: the second factor is new, not only its codes.
    """
    context = {"codes": codes, "next": then, "is_new": is_new}
    return render(request, "accounts/second_factor_codes.html", context)

"""Sign-in, sign-out, and the person's own password."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.forms import AuthenticationForm, SetPasswordForm, UsernameField
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import LoginView, PasswordChangeView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.generic import FormView

from accounts.actions import change_password, read_administrator_link, use_administrator_link
from accounts.models import User
from accounts.permissions import signed_in
from accounts.second_factor import has_authenticator
from accounts.session_store import BY_LINK
from accounts.views.half_signed_in import LOCAL_BACKEND, begin_second_step
from core.client_address import caller_place
from core.rate_limits import limit_rate
from core.scope import platform_scope


class TypedAddress(UsernameField):
    """The address as typed. Django would normalize compatible characters, such as the Kelvin sign to a "k"."""

    def to_python(self, value: Any) -> Any:
        return forms.CharField.to_python(self, value)


class SignInForm(AuthenticationForm):
    """Address and password. A text that is not an address matches nobody, and counts as a failure like any other."""

    username = TypedAddress(
        label=gettext_lazy("E-mail address"), widget=forms.TextInput(attrs={"autofocus": True})
    )
    error_messages = AuthenticationForm.error_messages | {
        "invalid_login": gettext_lazy(
            "No account has this e-mail address and password. Upper and lower case count."
        ),
    }


@method_decorator(never_cache, name="dispatch")
class SignIn(LoginView):
    """E-mail address and password; then a code, for people with an authenticator.

    People who are already signed in go to their pages. If local accounts are off, there is no form.
    """

    template_name = "registration/login.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.LOCAL_ACCOUNTS:
            raise PermissionDenied(_("Passwords are off here. Sign in with your organization's account."))
        limit_rate("sign_in", caller_place(request))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponseRedirect:
        return _finish(self.request, form.get_user(), self.get_success_url())


def _finish(request: HttpRequest, user: Any, then: str, *, by_link: bool = False) -> HttpResponseRedirect:
    """Sign `user` in, or ask for a code first, and go to `then`."""
    if has_authenticator(user):
        begin_second_step(request, user, then=then, by_link=by_link)
        return HttpResponseRedirect(reverse("second-factor-confirm"))
    login(request, user, backend=LOCAL_BACKEND)
    request.session[BY_LINK] = by_link
    return HttpResponseRedirect(then)


@method_decorator(never_cache, name="dispatch")
class AdministratorLink(FormView):  # type: ignore[type-arg]
    """The link of `manage.py create_administrator`. GET changes nothing (mail scanners open links too); POST does."""

    template_name = "registration/administrator_link.html"
    form_class = SetPasswordForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.person = read_administrator_link(kwargs["token"])
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"user": self.person}

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs) | {"person": self.person}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        limit_rate("sign_in", caller_place(request))
        password = ""
        if settings.LOCAL_ACCOUNTS:
            form = self.get_form()
            if not form.is_valid():
                return self.render_to_response(self.get_context_data(form=form), status=400)
            password = form.cleaned_data["new_password1"]
        with platform_scope("an administrator's link is used"):
            user = use_administrator_link(kwargs["token"], password=password)
        return _finish(request, user, reverse("home"), by_link=True)


class PasswordChange(LoginRequiredMixin, PasswordChangeView):
    """Set a new password, for people who have one here; their other sessions end.

    The form asks for the old one, so tries are limited per person: somebody may guess in a browser that was left open.
    """

    template_name = "registration/password_change.html"
    success_url = reverse_lazy("session-list")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and not may_change_password(signed_in(request)):
            raise Http404
        return super().dispatch(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        limit_rate("sign_in", str(signed_in(request).pk))
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        user = signed_in(self.request)
        change_password(
            user, form.cleaned_data["new_password1"], keep_session=self.request.session.session_key
        )
        update_session_auth_hash(self.request, user)
        messages.success(self.request, _("Password changed; other browsers are signed out"))
        return redirect(self.success_url)


def may_change_password(user: User) -> bool:
    """Whether `user` signs in with a password of this installation."""
    return settings.LOCAL_ACCOUNTS and user.has_usable_password()


def staff_sign_in(request: HttpRequest) -> HttpResponse:
    """Redirect staff to the only sign-in, which has lockout, second factor and rate limits."""
    wanted = request.GET.get("next") or reverse("admin:index")
    if request.user.is_authenticated and not request.user.is_staff:
        raise PermissionDenied(_("The administration is only for platform staff."))
    return redirect_to_login(wanted)


def staff_password(request: HttpRequest) -> HttpResponse:
    """Redirect staff to the page where everybody changes their password."""
    if not request.user.is_authenticated or not request.user.is_staff:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    return redirect("password-change")

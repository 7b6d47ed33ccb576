"""Inviting people, and the page behind the link for people who are not members yet."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import DetailView, TemplateView

from accounts.models import User
from accounts.permissions import signed_in
from accounts.views.half_signed_in import LOCAL_BACKEND
from core.client_address import caller_place
from core.errors import Conflict
from core.form_errors import show_errors
from core.rate_limits import limit_rate
from tenants.actions import (
    accept_as_newcomer,
    accept_invitation,
    find_invitation,
    invite,
    resend_invitation,
    withdraw_invitation,
)
from tenants.actions.invitations import newcomers_choose_passwords
from tenants.forms import InviteForm, NewcomerForm, role_options
from tenants.models import Invitation, Membership
from tenants.querysets import InvitationQuerySet
from tenants.views.mixins import PartialMixin, TenantPageMixin, TenantScopedMixin


@method_decorator([never_cache, sensitive_post_parameters("password", "password_again")], name="dispatch")
class InvitationPage(View):
    """Accept with an existing account, or create one. All links that open nothing lead to the same page."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        limit_rate("invitation_open", caller_place(request))
        try:
            response = super().dispatch(request, *args, **kwargs)
        except Invitation.DoesNotExist:
            response = render(request, "tenants/invitation_gone.html", status=404)
        return response

    def get(self, request: HttpRequest, link: str) -> HttpResponse:
        return self._page(find_invitation(link), link, NewcomerForm())

    def post(self, request: HttpRequest, link: str) -> HttpResponse:
        if isinstance(request.user, User):
            return self._accept(request.user, link)
        invitation = find_invitation(link)
        form = NewcomerForm(request.POST)
        if form.is_valid():
            try:
                membership, user = accept_as_newcomer(
                    link, name=form.cleaned_data["name"], password=form.cleaned_data["password"]
                )
            except ValidationError as error:
                show_errors(form, error)
            else:
                login(request, user, backend=LOCAL_BACKEND)
                return self._welcome(membership)
        return self._page(invitation, link, form, status=400)

    def _accept(self, user: User, link: str) -> HttpResponse:
        try:
            return self._welcome(accept_invitation(link, user))
        except PermissionDenied:
            return self._page(find_invitation(link), link, NewcomerForm(), status=403)

    def _welcome(self, membership: Membership) -> HttpResponse:
        words = {"tenant": membership.tenant.name, "role": membership.get_role_display().lower()}
        messages.success(self.request, _("You are now a member of %(tenant)s, as %(role)s") % words)
        return redirect("tenant-home", membership.tenant.slug)

    def _page(
        self, invitation: Invitation, link: str, form: NewcomerForm, *, status: int = 200
    ) -> HttpResponse:
        user = self.request.user
        is_right = isinstance(user, User) and user.email == invitation.email
        has_account = User.objects.filter(email=invitation.email).exists()
        context = {
            "invitation": invitation,
            "form": form,
            "is_right_person": is_right,
            "is_other_person": isinstance(user, User) and not is_right,
            "may_make_account": not has_account and newcomers_choose_passwords(),
            "sign_in_url": f"{redirect(settings.LOGIN_URL).url}?{urlencode({'next': self.request.path})}",
        }
        return render(self.request, "tenants/invitation_accept.html", context, status=status)


class InvitationNew(TenantPageMixin, TemplateView):
    """An address and a role. The link goes out by mail, and this page never shows it."""

    template_name = "tenants/invitation_new.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        invite.require_permission(signed_in(request), self.tenant)
        return self._form_page(InviteForm())

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        invite.require(signed_in(request), self.tenant)
        form = InviteForm(request.POST)
        if not form.is_valid():
            return self._form_page(form, status=400)
        limit_rate("invitation_send", str(signed_in(request).pk))
        try:
            invitation, __ = invite(self.tenant, by=signed_in(request), **form.cleaned_data)
        except ValidationError as error:
            show_errors(form, error)
            return self._form_page(form, status=400)
        except Conflict as error:
            form.add_error(None, error.message)
            return self._form_page(form, status=409)
        messages.success(
            request, _("The invitation to %(email)s is on its way") % {"email": invitation.email}
        )
        return redirect(_open_invitations(self.tenant.slug))

    def _form_page(self, form: InviteForm, *, status: int = 200) -> HttpResponse:
        chosen = str(form["role"].value())
        options = role_options(signed_in(self.request), self.tenant, chosen=chosen)
        context = self.get_context_data(form=form, options=options, days=settings.INVITATION_DAYS)
        return render(self.request, self.template_name, context, status=status)


class InvitationResend(TenantScopedMixin[InvitationQuerySet[Invitation]], DetailView):  # type: ignore[type-arg]
    """Send it again with a new link."""

    model = Invitation

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.get_object()
        return redirect(_open_invitations(self.tenant.slug))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        found = self.subject_of(resend_invitation)
        limit_rate("invitation_send", str(signed_in(request).pk))
        invitation, __ = resend_invitation(found.pk, by=signed_in(request))
        messages.success(
            request,
            _("Sent to %(email)s again; the earlier link no longer works") % {"email": invitation.email},
        )
        return redirect(_open_invitations(self.tenant.slug))


class InvitationWithdraw(PartialMixin, TenantScopedMixin[InvitationQuerySet[Invitation]], DetailView):  # type: ignore[type-arg]
    """Ask whether to withdraw, and withdraw."""

    model = Invitation
    template_name = "tenants/invitation_withdraw.html"
    partial_name = "tenants/_invitation_withdraw.html"
    context_object_name = "invitation"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.page_for(withdraw_invitation)
        return super().get(request, *args, **kwargs)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        invitation = withdraw_invitation(self.subject_of(withdraw_invitation).pk, by=signed_in(request))
        messages.success(request, _("The invitation to %(email)s is withdrawn") % {"email": invitation.email})
        return redirect(_open_invitations(self.tenant.slug))


def _open_invitations(slug: str) -> str:
    return f"{reverse('member-list', args=[slug])}?tab=invitations"

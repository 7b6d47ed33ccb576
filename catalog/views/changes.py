"""The page on which a requester changes a returned request and sends it again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.generic import DetailView

from accounts.permissions import signed_in
from catalog import presentation
from catalog.actions import resend_access_request
from catalog.models import AccessRequest
from catalog.querysets import AccessRequestQuerySet
from catalog.request_forms import ChangeRequestForm
from tenants.views.mixins import TenantScopedMixin


class RequestChange(TenantScopedMixin[AccessRequestQuerySet[AccessRequest]], DetailView):  # type: ignore[type-arg]
    """The request's questions with their answers. A POST sends the request again."""

    model = AccessRequest
    template_name = "catalog/request_change.html"
    context_object_name = "access_request"

    def get_queryset(self) -> AccessRequestQuerySet[AccessRequest]:
        return super().get_queryset().with_names().prefetch_related("reviews__decisions")

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.subject_of(resend_access_request)
        return self._form_page(ChangeRequestForm(user=signed_in(request), access_request=self.object), 200)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        self.object = self.subject_of(resend_access_request)
        form = ChangeRequestForm(request.POST, user=signed_in(request), access_request=self.object)
        sent = form.send() if form.is_valid() else None
        if sent is None:
            return self._form_page(form, 400)
        messages.success(request, _("%(reference)s is sent again") % {"reference": sent.reference})
        return redirect("request-detail", self.tenant.slug, sent.pk)

    def _form_page(self, form: ChangeRequestForm, status: int) -> HttpResponse:
        context = self.get_context_data(
            form=form,
            data_classes=form.data_class_options(),
            changes_wanted=presentation.changes_wanted(self.object, list(self.object.reviews.all())),
        )
        return self.render_to_response(context, status=status)

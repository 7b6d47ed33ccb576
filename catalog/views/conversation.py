"""Comments on a request, below the request's page."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.generic.detail import SingleObjectMixin

from accounts.permissions import signed_in
from catalog.actions.comments import comment_on_request
from catalog.conversation import conversation_of
from catalog.forms import CommentForm
from catalog.models import AccessRequest
from catalog.querysets import AccessRequestQuerySet
from core.form_errors import show_errors
from tenants.views.mixins import TenantScopedMixin


class RequestComments(TenantScopedMixin[AccessRequestQuerySet[AccessRequest]], SingleObjectMixin):  # type: ignore[type-arg]
    """The list of comments, which the page of a request reads again and again. A POST adds one."""

    model = AccessRequest

    def get_queryset(self) -> AccessRequestQuerySet[AccessRequest]:
        return super().get_queryset().select_related("tenant", "requested_by").with_items()

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        access_request = self.get_object()
        if request.headers.get("HX-Request") != "true":
            return redirect(self._page(access_request))
        return render(request, "catalog/_comments.html", self._context(access_request))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        access_request = self.subject_of(comment_on_request)
        form = CommentForm(request.POST)
        is_partial = request.headers.get("HX-Request") == "true"
        if form.is_valid():
            try:
                comment_on_request(access_request.pk, by=signed_in(request), text=form.cleaned_data["text"])
            except ValidationError as refused:
                show_errors(form, refused)
            else:
                if is_partial:
                    context = self._context(access_request) | {"comment_form": CommentForm()}
                    return render(request, "catalog/_conversation.html", context)
                messages.success(request, _("The comment is sent"))
                return redirect(self._page(access_request))
        context = self._context(access_request) | {"comment_form": form}
        if is_partial:
            return render(request, "catalog/_conversation.html", context, status=422)
        self.object = access_request
        context = self.get_context_data() | context
        return render(request, "catalog/request_comment.html", context, status=400)

    def _page(self, access_request: AccessRequest) -> str:
        return reverse("request-detail", args=[self.tenant.slug, access_request.pk]) + "#conversation"

    def _context(self, access_request: AccessRequest) -> dict[str, Any]:
        return conversation_of(self.request, access_request) | {
            "access_request": access_request,
            "comments_url": reverse("request-comments", args=[self.tenant.slug, access_request.pk]),
            "is_swapped": True,
        }

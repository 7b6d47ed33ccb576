"""A person's inbox: what they were told, and where it leads."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.generic import TemplateView

from accounts.actions import mark_all_read, mark_read
from accounts.models import OutboxMessage
from accounts.outbox.inbox import entries
from accounts.permissions import signed_in
from core.keyset import requested_page

PAGE_SIZE = 25


@method_decorator(never_cache, name="dispatch")
class Inbox(LoginRequiredMixin, TemplateView):
    """List what the person was told: all, or what is unread. A POST marks everything as read."""

    template_name = "accounts/inbox.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        tab = "unread" if self.request.GET.get("tab") == "unread" else "all"
        messages = OutboxMessage.objects.in_inbox_of(signed_in(self.request))
        if tab == "unread":
            messages = messages.filter(read_at=None)
        page = requested_page(self.request, messages.select_related("user"), ["-id"], size=PAGE_SIZE)
        links = page.links(tab="unread" if tab == "unread" else "")
        return super().get_context_data(**kwargs) | {"tab": tab, "rows": entries(page.rows)} | links

    def post(self, request: HttpRequest) -> HttpResponse:
        mark_all_read(reader=signed_in(request))
        return redirect("inbox")


@method_decorator(never_cache, name="dispatch")
class InboxOpen(LoginRequiredMixin, View):
    """Mark one message as read, and go to the page it is about; back to the inbox if that is not theirs to see now."""

    model = OutboxMessage

    def get(self, request: HttpRequest, pk: Any) -> HttpResponse:
        try:
            message = mark_read(pk, reader=signed_in(request))
        except OutboxMessage.DoesNotExist as missing:
            raise Http404 from missing
        (entry,) = entries([message])
        return redirect(entry.path or "inbox")

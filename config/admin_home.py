"""The staff site's front page: a menu in the order of the work, and the tasks that wait for the reader."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from core.menu import staff_menu


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The staff site's menu (core/menu.py) as Unfold wants it."""
    return [
        {
            "title": section.title,
            "items": [
                {"title": link.label, "link": link.url, "badge": link.count or ""} for link in section.links
            ],
        }
        for section in staff_menu(request)
    ]


def front_page(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's dashboard callback: sentences about open tasks, most urgent first."""
    return context | {"needs_you": list(_needs(request)), "title": _("Operations")}


def _my_reviews(request: HttpRequest) -> Any:
    from catalog.admin.reviews import queue_of
    from catalog.models import Review

    return queue_of(request, Review.objects.visible_to(request.user))


def _needs(request: HttpRequest) -> Iterator[dict[str, Any]]:
    from directory.actions.scim_tokens import confirm_scim_token

    mine = _my_reviews(request)
    if waiting := mine.count():
        text = ngettext("%(n)d review waits for you", "%(n)d reviews wait for you", waiting) % {"n": waiting}
        late = mine.filter(due_at__lt=now()).count()
        note = ngettext("%(n)d is overdue", "%(n)d are overdue", late) % {"n": late} if late else ""
        yield _need(text, note, "catalog_review", _("Review"), is_late=bool(late))
    if request.user.has_perm("deployments.view_deployment"):
        yield from _platform_needs()
    if request.user.has_perm("billing.view_quarantinedevent"):
        yield from _unbilled_needs()
    if confirm_scim_token.is_for(request.user):
        yield from _directory_needs(request)


def _platform_needs() -> Iterator[dict[str, Any]]:
    from deployments.models import Deployment
    from gateway.acknowledged import refusing
    from gateway.models import Gateway
    from tenants.revision import current_revision

    troubled = Deployment.objects.filter(is_deleted=False).exclude(state=Deployment.State.HEALTHY)
    for deployment in troubled.order_by("name")[:5]:
        text = _("%(name)s is %(state)s") % {
            "name": deployment.name,
            "state": deployment.get_state_display().lower(),
        }
        yield _need(text, "", "deployments_deployment", _("Look"))
    behind = Gateway.objects.filter(revoked_at=None, acknowledged_revision__lt=current_revision())
    for gateway in behind.order_by("name")[:5]:
        text = _("Gateway %(name)s has not applied the newest configuration yet") % {"name": gateway.name}
        yield _need(text, "", "gateway_gateway", _("Look"))
    for gateway in refusing()[:5]:
        text = _("Gateway %(name)s refused a configuration") % {"name": gateway.name}
        yield _need(text, gateway.report["refused"]["reason"], "gateway_gateway", _("Look"), is_late=True)


def _unbilled_needs() -> Iterator[dict[str, Any]]:
    from billing.models import QuarantinedEvent

    held = QuarantinedEvent.objects.across_tenants().count()
    if held:
        text = ngettext("%(n)d call could not be billed", "%(n)d calls could not be billed", held)
        yield _need(text % {"n": held}, "", "billing_quarantinedevent", _("Look"))


def _directory_needs(request: HttpRequest) -> Iterator[dict[str, Any]]:
    """Tokens that wait for the reader: those that somebody else made."""
    from directory.models import ScimToken

    waiting = ScimToken.objects.filter(confirmed_at=None, revoked_at=None, expires_at__gt=now())
    if n := waiting.exclude(made_by=request.user.pk).count():
        text = ngettext(
            "%(n)d directory token needs confirmation", "%(n)d directory tokens need confirmation", n
        )
        yield _need(text % {"n": n}, "", "directory_scimtoken", _("Look"))


def _need(text: Any, note: Any, page: str, action: Any, *, is_late: bool = False) -> dict[str, Any]:
    url = reverse_lazy(f"admin:{page}_changelist")
    return {"text": text, "note": note, "url": url, "action": action, "is_late": is_late}

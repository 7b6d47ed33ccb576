"""The staff site's front page: a menu in the order of the work, and the tasks that wait for the reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse_lazy
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from core.counting import count_of

# The menu by group: model, label, icon (Material Symbols, which come with Unfold).
_MENU: list[tuple[Any, list[tuple[str, Any, str]]]] = [
    (_("Requests"), [
        ("catalog.review", _("Review queue"), "checklist"),
        ("catalog.accessrequest", _("Requests"), "contract"),
        ("catalog.grant", _("Grants"), "verified_user"),
        ("tenants.apikey", _("Keys"), "key"),
        ("tenants.limit", _("Limits"), "speed"),
    ]),
    (_("Catalog"), [
        ("catalog.catalogmodel", _("Models"), "deployed_code"),
        ("catalog.catalogimport", _("Imports"), "move_to_inbox"),
    ]),
    (_("Money"), [
        ("exports.export", _("Cost reports"), "receipt_long"),
        ("billing.price", _("Prices"), "sell"),
        ("billing.usagekind", _("Kinds of usage"), "category"),
        ("billing.quarantinedevent", _("Calls not billed"), "report"),
    ]),
    (_("Platform"), [
        ("deployments.deployment", _("Deployments"), "rocket_launch"),
        ("deployments.cluster", _("Clusters"), "dns"),
        ("deployments.provider", _("Providers"), "cloud"),
        ("deployments.providermodel", _("Provider models"), "list_alt"),
        ("deployments.route", _("Routes"), "alt_route"),
        ("gateway.gateway", _("Gateways"), "router"),
        ("tenants.configchange", _("Revisions"), "history_toggle_off"),
        ("gateway.refusedcalls", _("Refused calls"), "block"),
        ("gateway.signingkey", _("Signing keys"), "signature"),
    ]),
    (_("Tenants"), [
        ("tenants.tenant", _("Tenants"), "apartment"),
        ("tenants.project", _("Projects"), "folder"),
        ("tenants.membership", _("Members"), "groups"),
        ("accounts.user", _("People"), "person"),
        ("accounts.staffroleassignment", _("Staff"), "badge"),
        ("tenants.tenantclosing", _("Closings"), "lock"),
        ("tenants.emergencyaccess", _("Emergency access"), "emergency"),
        ("tenants.personalaccesstoken", _("Tokens"), "vpn_key"),
        ("directory.groupmapping", _("Group mappings"), "rule"),
        ("directory.federatedidentity", _("Linked accounts"), "link"),
        ("directory.directorygroup", _("Directory groups"), "group_work"),
        ("directory.scimtoken", _("Directory tokens"), "sync_lock"),
        ("audit.auditentry", _("Audit"), "history"),
    ]),
]  # fmt: skip


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The menu: groups with links to lists; each link is visible to people who may open its list."""
    groups = [{"title": title, "items": [_item(*entry) for entry in entries]} for title, entries in _MENU]
    if waiting := count_of(_my_reviews(request)):
        groups[0]["items"][0]["badge"] = str(waiting)
    return groups


def _item(label: str, title: Any, icon: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{label.replace('.', '_')}_changelist"),
        "permission": _may_look(label),
    }


def _may_look(label: str) -> Callable[[HttpRequest], bool]:
    def may_look(request: HttpRequest) -> bool:
        page = admin.site._registry.get(apps.get_model(label))
        return page is not None and page.has_view_permission(request)

    return may_look


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

"""What a person may do with a model now, in words: use it, claim its key, wait, request it, or why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db.models import Case, Q, When
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import User
from catalog.actions.access_requests import raise_access_request
from catalog.models import CatalogModel, Grant, RequestItem
from catalog.request_problems import region_problem
from catalog.serving import answered, mode_problem, nothing_serves, reach_of, unserved_words
from tenants.actions import claim_api_key
from tenants.models import ApiKey, DataClass, Project, Tenant
from tenants.permissions import may_somewhere


@dataclass(frozen=True)
class Access:
    """A state (granted, in_review, requestable, unavailable), its words, and the next step if there is one."""

    state: str
    label: str
    url: str = ""
    action_label: str = ""
    reason: str = ""
    # True if the person has access or waits, but may still ask for another project.
    may_ask_again: bool = False
    # "Nothing serves this yet", or that for the data of the grant or request alone; empty if calls get an answer.
    notice: str = ""
    # Whether calls of the tenant get an answer, if only with data of the lowest class.
    is_served: bool = True

    @property
    def form_notice(self) -> str:
        """What a form says that asks for another project, whatever its data will be."""
        return "" if self.is_served else nothing_serves()


def accesses(
    user: User, tenant: Tenant, models: Iterable[CatalogModel], *, project: Project | None = None
) -> dict[UUID, Access]:
    """What `user` may do with each model in `tenant` (in `project`, if given). Takes three database queries.

    Args:
        user: the person.
        tenant: the tenant of the page.
        models: the models of the page.
        project: only this project; None: all of the tenant's.
    """
    models = list(models)
    mine = Q(project=project) if project else Q()
    reach = reach_of([tenant], models)
    grants = Grant.objects.visible_to(user).in_tenant(tenant).in_force().without_lapsed_keys()
    grants = grants.filter(mine, model__in=models)
    asked = (
        RequestItem.objects.visible_to(user).in_tenant(tenant).filter(mine, model__in=models, is_open=True)
    )
    # Only one grant of each model, because a large tenant has a thousand: the newest of those whose calls are answered.
    first = (
        grants.select_related("item__key__project", "project")
        .annotate(is_answered=Case(When(answered(reach), then=True), default=False))
        .order_by("model_id", "-is_answered", "-created_at")
        .distinct("model_id")
    )
    granted = {grant.model_id: grant for grant in first}
    newest = asked.select_related("access_request").order_by("model_id", "-pk").distinct("model_id")
    waiting = {one.model_id: one for one in newest}
    refusal = _why_nobody_asks(user, tenant, project)
    found = {}
    for model in models:
        grant, item = granted.get(model.pk), waiting.get(model.pk)
        access = _access(user, tenant, model, grant, item, refusal)
        reached = reach[tenant.pk].get(model.pk)
        found[model.pk] = _with_notice(access, reached, _notice(reached, grant, item))
    return found


def _notice(reached: DataClass | None, grant: Any, asked: RequestItem | None) -> str:
    """What is to be said if calls get no answer: of the grant, of the request, or else of any data."""
    if grant is not None:
        if grant.is_answered:
            return ""
        # If its own data would be answered, another grant of the project is for more sensitive data.
        higher = _("Nothing serves this for all data of the project yet")
        return unserved_words(reached, grant.item.data_class) or higher
    return unserved_words(reached, asked.data_class if asked is not None else DataClass.PUBLIC)


def _with_notice(access: Access, reached: DataClass | None, notice: str) -> Access:
    """The access with what is to be said: nobody is told to use what gets no answer."""
    if access.state == "unavailable":
        return access
    if notice and access.state == "granted" and access.url.endswith("?tab=use"):
        access = replace(access, url="", action_label="")
    return replace(access, notice=notice, is_served=reached is not None)


def _access(
    user: User,
    tenant: Tenant,
    model: CatalogModel,
    grant: Grant | None,
    waiting: RequestItem | None,
    refusal: str,
) -> Access:
    refused = mode_problem(model) or region_problem(tenant, model) or refusal
    again = model.is_offered_to(tenant) and not refused
    key = grant.item.key if grant is not None else None
    if key is not None and key.state == ApiKey.State.CLAIMABLE:
        if not claim_api_key.is_permitted(user, key):
            return Access("granted", _("Approved: its key can be claimed"), may_ask_again=again)
        url = reverse("key-claim", args=[tenant.slug, key.pk])
        return Access("granted", _("Approved: you can claim a key"), url, _("Claim key"), may_ask_again=again)
    if grant is not None:
        url = reverse("model-detail", args=[tenant.slug, model.name]) + "?tab=use"
        label = _("%(project)s has access") % {"project": grant.project.name}
        return Access("granted", label, url, _("Use"), may_ask_again=again)
    if waiting is not None:
        url = reverse("request-detail", args=[tenant.slug, waiting.access_request_id])
        asked = waiting.access_request
        return Access("in_review", asked.get_state_display(), url, asked.reference, may_ask_again=again)
    if not model.is_offered_to(tenant):
        return Access("unavailable", _("No longer offered"), reason=_("This model is no longer published."))
    if refused:
        return Access("unavailable", _("Not available"), reason=refused)
    url = reverse("request-new", args=[tenant.slug, model.name])
    return Access(
        "requestable",
        _("Can be requested"),
        url,
        _("Request"),
        _(
            "Say what it is for and how much you expect to use. You see the reviews and the cost before "
            "you send the request."
        ),
    )


def _why_nobody_asks(user: User, tenant: Tenant, project: Project | None) -> str:
    if tenant.status != Tenant.Status.ACTIVE:
        return _("%(tenant)s is %(status)s.") % {
            "tenant": tenant.name,
            "status": tenant.get_status_display().lower(),
        }
    may_ask = (
        raise_access_request.is_permitted(user, project)
        if project
        else may_somewhere(user, raise_access_request.permission, tenant)
    )
    if not may_ask:
        return _("Your role does not allow you to request models. An owner, admin or developer can.")
    return ""

"""A tenant's requests, its keys to claim, its access, what of it ends soon, and how to begin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _

from catalog import presentation
from catalog.models import AccessRequest, Grant
from core.counting import count_of
from core.dates import day
from core.home import Content, Need, Reader, Site, home_block
from tenants.actions import claim_api_key
from tenants.models import ApiKey
from tenants.permissions import projects_where
from tenants.views.mixins import not_shown

MOST_ROWS: Final = 8
MOST_MODELS: Final = 5
ENDS_SOON: Final = timedelta(days=30)


@home_block(Site.TENANT, order=5)
def keys_to_claim(reader: Reader) -> Content:
    """The keys that the reader may claim, those with the earliest date first."""
    user, tenant = reader.user, reader.tenant
    keys = (
        ApiKey.objects.visible_to(user)
        .in_tenant(tenant)
        .claimable()
        .filter(project__in=projects_where(user, claim_api_key.permission, tenant))
        .with_names()
        .order_by("claim_by", "pk")
    )
    soon = now() + timedelta(days=1)
    return Content(
        needs=[
            Need(
                text=_("The key for %(models)s is ready") % {"models": ", ".join(key.model_names)},
                note=_("%(project)s · claim it by %(date)s")
                % {"project": key.project.name, "date": day(key.claim_by)},
                url=reverse("key-claim", args=[tenant.slug, key.pk]),
                action=_("Claim key"),
                icon_name="key",
                is_late=key.claim_by is not None and key.claim_by < soon,
            )
            for key in keys[:MOST_ROWS]
        ]
    )


@home_block(Site.TENANT, order=6)
def requests_to_change(reader: Reader) -> Content:
    """The reader's own requests that came back for changes, the one that waits longest first."""
    returned = AccessRequest.objects.visible_to(reader.user).in_tenant(reader.tenant).with_items()
    mine = returned.filter(requested_by=reader.user, state=AccessRequest.State.RETURNED).order_by("pk")
    return Content(
        needs=[
            Need(
                text=_("Your request for %(models)s needs changes") % {"models": one.models_label},
                note=one.projects_label,
                url=reverse("request-detail", args=[reader.tenant.slug, one.pk]),
                action=_("Look at it"),
                icon_name="message-circle",
            )
            for one in mine[:MOST_ROWS]
        ]
    )


@dataclass(frozen=True)
class OpenRequests:
    """The requests that nobody has decided, the newest first."""

    open: int | str
    rows: list[presentation.RequestRow]


@home_block(Site.TENANT, order=35, template="catalog/home/_requests.html")
def open_requests(reader: Reader) -> Content:
    """Shows a few rows. The linked list has the rest. No block for staff whose role sees no requests."""
    if not_shown(reader.user, reader.tenant, AccessRequest):
        return Content()
    requests = AccessRequest.objects.visible_to(reader.user).in_tenant(reader.tenant).undecided()
    found = requests.with_names().order_by("-pk")[: MOST_ROWS + 1]
    rows = [presentation.row_of(access_request) for access_request in found]
    count = count_of(requests) if len(rows) > MOST_ROWS else len(rows)
    return Content(OpenRequests(count, rows[:MOST_ROWS]))


@dataclass(frozen=True)
class ModelLine:
    """A project's access to a model, with the link to how the model is called."""

    model: str
    project: str
    until: datetime
    url: str


@home_block(Site.TENANT, order=37, template="catalog/home/_models.html")
def models_to_call(reader: Reader) -> Content:
    """The newest access in force; no block without any."""
    grants = Grant.objects.visible_to(reader.user).in_tenant(reader.tenant).in_force().without_lapsed_keys()
    newest = grants.select_related("model", "project").order_by("-pk")[:MOST_MODELS]
    lines = [
        ModelLine(
            model=grant.model.title,
            project=grant.project.name,
            until=grant.valid_until,
            url=f"{reverse('model-detail', args=[reader.tenant.slug, grant.model.name])}?tab=use",
        )
        for grant in newest
    ]
    return Content(lines or None)


@dataclass(frozen=True)
class GrantLine:
    """A project's access to a model that ends soon, with the link to its page."""

    model: str
    project: str
    until: datetime
    url: str


@home_block(
    Site.TENANT,
    order=55,
    permissions=["tenants.manage_projects"],
    template="catalog/home/_grants.html",
    is_aside=True,
)
def grants_that_end(reader: Reader) -> Content:
    """Access in force that ends within 30 days, the earliest first; no block without any."""
    grants = Grant.objects.visible_to(reader.user).in_tenant(reader.tenant).in_force()
    ending = grants.filter(valid_until__lte=now() + ENDS_SOON).select_related("model", "project")
    lines = [
        GrantLine(
            model=grant.model.title,
            project=grant.project.name,
            until=grant.valid_until,
            url=reverse("grant-detail", args=[reader.tenant.slug, grant.pk]),
        )
        for grant in ending.order_by("valid_until", "pk")[:MOST_ROWS]
    ]
    return Content(lines or None)


@home_block(Site.TENANT, order=90, template="catalog/home/_quick_start.html", is_aside=True)
def quick_start(reader: Reader) -> Content:
    """The address of the gateway."""
    return Content(settings.GATEWAY_URL)

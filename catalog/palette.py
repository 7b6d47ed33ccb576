"""What the search in the top bar finds in the catalog: models, and requests by reference or model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from django.db.models import TextField
from django.db.models.functions import Cast, Right
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.models import AccessRequest, CatalogModel, RequestItem
from catalog.typos import corrected
from core.palette import MOST, Finder, Hit
from core.prefix import begins_with
from tenants.models import Tenant

_REFERENCE: Final = re.compile(r"(?:REQ-)?([0-9a-f]{6})", re.IGNORECASE)


def _models(user: User, tenant: Tenant, term: str) -> Iterable[Hit]:
    published = CatalogModel.objects.offered_to([tenant])
    found = list(published.search(term).order_by("title", "name")[:MOST])
    if not found and (words := corrected(term, published)):
        found = list(published.search(words).order_by("title", "name")[:MOST])
    for model in found:
        yield Hit(model.title, reverse("model-detail", args=[tenant.slug, model.name]), model.name)


def _requests(user: User, tenant: Tenant, term: str) -> Iterable[Hit]:
    found = AccessRequest.objects.visible_to(user).in_tenant(tenant)
    if reference := _REFERENCE.fullmatch(term):
        # The end of the id. This reads all requests of the tenant, which has thousands at most.
        ending = Right(Cast("pk", TextField()), 6)
        found = found.annotate(ending=ending).filter(ending=reference[1].lower())
    else:
        models = CatalogModel.objects.filter(begins_with(term, ["title", "name"]))
        items = RequestItem.objects.in_tenant(tenant).filter(model__in=models)
        found = found.filter(pk__in=items.values("access_request"))
    for one in found.with_items().order_by("-created_at")[:MOST]:
        yield Hit(one, reverse("request-detail", args=[tenant.slug, one.pk]), one.reference)


FINDERS = [
    Finder(_("Models"), "box", 1, _models),
    Finder(_("Requests"), "checklist", 2, _requests),
]

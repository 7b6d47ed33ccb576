"""The demo's provider: a second demo engine behind a credential, called as every provider is.

It serves a model of its own, and those that the demo's projects have used in the past.
"""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import transaction

import audit
from billing.demo_rule import DEMO_MODELS
from billing.prices import publish_prices
from catalog.models import CatalogModel
from catalog.rules import RiskTier
from deployments.models import Provider, ProviderModel
from deployments.provider_actions import add_provider, set_allowed_networks
from deployments.provider_credentials import clean_credential
from deployments.provider_matching import match_all
from deployments.routes import change_route, make_routable, plan_with, route_of
from tenants.models import DataClass
from tenants.revision import raise_revision

OUTSIDE_MODEL: Final = "quartermaster-outside-1"
PROVIDER: Final = "demo-provider"


@transaction.atomic
def load_provider(valid_from: datetime) -> None:
    """Add the provider and its models, and route them there. Safe to repeat; nothing without DEMO_PROVIDER_URL."""
    url, key = os.environ.get("DEMO_PROVIDER_URL"), os.environ.get("DEMO_PROVIDER_KEY", "")
    if not url:
        return
    model = _model(valid_from)
    # It runs on this machine, which no provider may otherwise be on.
    set_allowed_networks(["127.0.0.0/8"], by=None)
    provider = Provider.objects.filter(name=PROVIDER).first()
    if provider is None:
        provider = Provider(
            name=PROVIDER,
            title="Demo provider",
            dialect="openai_compatible",
            base_url=url,
            regions=["local"],
            highest_data_class=DataClass.CONFIDENTIAL,
            retention_days=0,
            trains_on_data=False,
        )
        # Untested: it starts after the data is loaded.
        add_provider(provider, clean_credential("stored", key, ""), by=None, is_tested=False)
    elif provider.base_url != url:
        # Its port was taken, so this start uses another.
        provider.base_url = url
        provider.save(update_fields=["base_url"])
        raise_revision(routing=True)
    _serve(provider, model)
    for used in CatalogModel.objects.published().filter(name__in=DEMO_MODELS).order_by("name"):
        _serve(provider, used)


def _serve(provider: Provider, model: CatalogModel) -> None:
    """Route the model to the provider, unless somebody has decided about it since."""
    listed, is_new = ProviderModel.objects.get_or_create(
        provider=provider, name=model.name, defaults={"is_named_by_hand": True, "mode": "chat"}
    )
    if is_new:
        match_all([listed], provider.dialect)
        listed.save()
        make_routable([listed])
        route = route_of(model)
        change_route(route.pk, plan_with(route, listed.target), based_on=route.generation, by=None)


def _model(valid_from: datetime) -> CatalogModel:
    model, is_new = CatalogModel.objects.get_or_create(
        name=OUTSIDE_MODEL,
        defaults={
            "title": "Quartermaster demo provider",
            "maker": "Quartermaster",
            "description": (
                "A small program that answers with fixed sentences, called as a provider is: by its address and "
                "with a credential. It is not a language model."
            ),
            "mode": "chat",
            "context_tokens": 32_768,
            "max_output_tokens": 4_096,
            "capabilities": {"streaming": True},
            "providers": ["demo"],
            "regions": ["local"],
            "lifecycle": CatalogModel.Lifecycle.PUBLISHED,
            "risk_tier": RiskTier.LOW,
            "highest_data_class": DataClass.CONFIDENTIAL,
            "source": "demo",
            "search_text": f"{OUTSIDE_MODEL} quartermaster demo provider chat",
        },
    )
    if is_new:
        audit.record("model.published", actor=None, subject=model)
    publish_prices(
        OUTSIDE_MODEL,
        {"input": Decimal("0.30"), "output": Decimal("1.20")},
        valid_from=valid_from,
        reason="Demo price list",
        by=None,
    )
    return model

"""Actions of operators on providers."""

from __future__ import annotations

from datetime import timedelta

from django.utils.timezone import now

from deployments.models import ProviderCredential
from tests.deployments.provider_stub import GOOD_KEY, lasting_stub
from tests.factories import (
    CatalogModelFactory,
    ProviderFactory,
    ProviderModelFactory,
    allow_loopback,
    credential_of,
    staff,
)
from tests.role_matrix import Action, EntryPoint

SENT = {"_form_submitted": "1"}
FIELDS = {
    "title": "OpenAI", "dialect": "openai", "highest_data_class": "internal", "connect_timeout_seconds": "5",
    "first_byte_timeout_seconds": "60", "idle_timeout_seconds": "60", "test": "no", "regions": "eu-west-1",
}  # fmt: skip


def place_of_a_provider(world, actor):
    """Where a provider listens that nobody has added."""
    allow_loopback()
    return lasting_stub()


def provider(world, actor):
    allow_loopback()
    found = ProviderFactory(base_url=lasting_stub().url)
    credential_of(found, GOOD_KEY)
    return found


def provider_and_person(world, actor):
    found = ProviderFactory()
    found.person = staff("auditor")
    return found


def disabled_provider(world, actor):
    return ProviderFactory(is_enabled=False)


def replaced_credential(world, actor):
    found = provider(world, actor)
    old = found.credentials.get()
    ProviderCredential.objects.filter(pk=old.pk).update(valid_until=now() + timedelta(hours=1))
    credential_of(found, "another-key-of-the-provider")
    return old


def matched_model(world, actor):
    model = CatalogModelFactory(name="aya-expanse")
    return ProviderModelFactory(name="aya-expanse", mode="chat", model=model, is_named_by_hand=True)


def provider_model(world, actor):
    CatalogModelFactory(name="aya-expanse")
    return ProviderModelFactory()


PROVIDER_ACTIONS = [
    Action(
        "allow networks that providers may be in",
        "deployments.provider_actions.set_allowed_networks",
        api=EntryPoint("POST /api/v1/provider-networks/", {"networks": ["10.20.0.0/16"]}),
        admin=EntryPoint("POST /admin/deployments/provider/networks/", SENT | {"networks": "10.20.0.0/16"}),
    ),
    Action(
        "test a provider before it is added",
        "deployments.provider_actions.try_new_provider",
        subject=place_of_a_provider,
        api=EntryPoint(
            "POST /api/v1/providers/try/",
            {
                "name": "fresh", "title": "Fresh", "dialect": "openai", "base_url": "{it.url}",
                "credential": {"kind": "stored", "secret": GOOD_KEY},
            },
        ),
    ),
    Action(
        "add a provider",
        "deployments.provider_actions.add_provider",
        api=EntryPoint(
            "POST /api/v1/providers/",
            lambda world, it: {
                "name": "fresh", "title": "Fresh", "dialect": "openai", "base_url": "https://api.example.com/v1",
                "is_tested": False,
            },
        ),
        admin=EntryPoint(
            "POST /admin/deployments/provider/add/",
            FIELDS | {"name": "fresh", "base_url": "https://api.example.com/v1"},
        ),
    ),
    Action(
        "change a provider",
        "deployments.provider_actions.change_provider",
        subject=provider,
        api=EntryPoint("PATCH /api/v1/providers/{it.pk}/", {"title": "Another name"}),
        admin=EntryPoint(
            "POST /admin/deployments/provider/{it.pk}/settings/",
            FIELDS
            | {"title": "Another name", "base_url": "{it.base_url}"},
        ),
    ),
    Action(
        "move a provider to another server, proxy or CA",
        "deployments.provider_actions.move_provider",
        subject=provider,
        api=EntryPoint(
            "PATCH /api/v1/providers/{it.pk}/",
            lambda world, it: {
                "base_url": "https://api.example.com/v1", "is_tested": False,
                "credential": {"kind": "stored", "secret": "entered-again"},
            },
        ),
        admin=EntryPoint(
            "POST /admin/deployments/provider/{it.pk}/settings/",
            FIELDS
            | {
                "base_url": "https://api.example.com/v1", "credential_kind": "stored",
                "credential": "entered-again",
            },
        ),
    ),
    Action(
        "test a provider and list its models",
        "deployments.provider_lists.refresh_provider",
        subject=provider,
        api=EntryPoint("POST /api/v1/providers/{it.pk}/refresh/"),
        admin=EntryPoint("POST /admin/deployments/provider/{it.pk}/refresh/", SENT),
    ),
    Action(
        "enter a new credential of a provider",
        "deployments.provider_rotation.rotate_provider_credential",
        subject=provider,
        api=EntryPoint(
            "POST /api/v1/providers/{it.pk}/credentials/",
            lambda world, it: {
                "credential": {"kind": "environment", "reference": "PROVIDER_OPENAI"},
                "overlap_hours": 24,
                "is_tested": False,
            },
        ),
        admin=EntryPoint(
            "POST /admin/deployments/provider/{it.pk}/rotate/",
            SENT
            | {"credential_kind": "file", "reference": "openai/key", "overlap_hours": "24", "test": "no"},
        ),
    ),
    Action(
        "end a credential of a provider",
        "deployments.provider_rotation.end_provider_credential",
        subject=replaced_credential,
        api=EntryPoint("DELETE /api/v1/provider-credentials/{it.pk}/"),
        admin=EntryPoint("POST /admin/deployments/providercredential/{it.pk}/end/", SENT),
    ),
    Action(
        "disable a provider",
        "deployments.provider_actions.disable_provider",
        subject=provider,
        api=EntryPoint("POST /api/v1/providers/{it.pk}/disable/"),
        admin=EntryPoint("POST /admin/deployments/provider/{it.pk}/disable/", SENT),
    ),
    Action(
        "enable a provider",
        "deployments.provider_actions.enable_provider",
        subject=disabled_provider,
        api=EntryPoint("POST /api/v1/providers/{it.pk}/enable/"),
        admin=EntryPoint("POST /admin/deployments/provider/{it.pk}/enable/", SENT),
    ),
    Action(
        "delete a provider",
        "deployments.provider_actions.delete_provider",
        subject=provider,
        api=EntryPoint("DELETE /api/v1/providers/{it.pk}/"),
        admin=EntryPoint("POST /admin/deployments/provider/{it.pk}/remove/", SENT),
    ),
    Action(
        "name a model of a provider",
        "deployments.provider_lists.name_provider_model",
        subject=provider,
        api=EntryPoint("POST /api/v1/providers/{it.pk}/models/", {"name": "our-deployment"}),
        admin=EntryPoint(
            "POST /admin/deployments/provider/{it.pk}/name-model/", SENT | {"name": "our-deployment"}
        ),
    ),
    Action(
        "route models of a provider",
        "deployments.provider_routing.route_provider_models",
        subject=matched_model,
        api=EntryPoint(
            "POST /api/v1/providers/{it.provider.pk}/route-models/",
            lambda world, it: {"models": [str(it.pk)]},
        ),
        admin=EntryPoint(
            "POST /admin/deployments/provider/{it.provider.pk}/route-models/", SENT | {"models": "{it.pk}"}
        ),
    ),
    Action(
        "let somebody manage one provider",
        "deployments.provider_managers.set_provider_manager",
        subject=provider_and_person,
        api=EntryPoint(
            "POST /api/v1/providers/{it.pk}/managers/",
            lambda world, it: {"email": it.person.email, "is_manager": True},
        ),
        admin=EntryPoint(
            "POST /admin/deployments/provider/{it.pk}/managers/",
            SENT | {"email": "{it.person.email}", "is_manager": "yes"},
        ),
    ),
    Action(
        "match a provider's model with the catalog",
        "deployments.provider_lists.match_provider_model",
        subject=provider_model,
        api=EntryPoint("POST /api/v1/provider-models/{it.pk}/match/", {"model": "aya-expanse"}),
        admin=EntryPoint(
            "POST /admin/deployments/providermodel/{it.pk}/match/", SENT | {"model": "aya-expanse"}
        ),
    ),
]  # fmt: skip

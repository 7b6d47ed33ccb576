"""A provider that listens on this machine, and what its tests share. Use as a plugin."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from audit.models import AuditEntry
from deployments.models import Provider
from deployments.provider_actions import add_provider
from deployments.provider_credentials import clean_credential
from tests.deployments.provider_stub import GOOD_KEY, serving
from tests.factories import allow_loopback

PROVIDERS = "/api/v1/providers/"
SECOND_KEY = "stub-key-second-77c1e0d4a92b-NEXT"


@pytest.fixture
def upstream(db):
    allow_loopback()
    with serving() as stub:
        yield stub


@pytest.fixture
def provider(upstream, operator):
    draft = Provider(name="openai-eu", title="OpenAI EU", dialect="openai", base_url=upstream.url)
    return add_provider(draft, stored(GOOD_KEY), by=operator)


def stored(secret):
    return clean_credential("stored", secret, "")


def as_user(user):
    client = APIClient()
    client.force_authenticate(user)
    return client


def verbs():
    return list(AuditEntry.objects.across_tenants().order_by("pk").values_list("verb", flat=True))


def whole_answer(response):
    return response.content.decode()

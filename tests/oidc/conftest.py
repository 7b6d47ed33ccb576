"""A provider for all tests of the package, and a console that trusts it."""

from __future__ import annotations

import pytest

from tests.oidc.running_provider import AUDIENCE, CALLBACK, CLIENT, SECRET, RunningProvider, clients


@pytest.fixture(scope="session")
def provider_process():
    provider = RunningProvider()
    try:
        yield provider
    finally:
        provider.stop()


@pytest.fixture
def provider(provider_process, settings):
    """The provider, up and with one client, and the settings that name it."""
    provider_process.tell("mode", "up")
    provider_process.tell("clients", clients([CALLBACK], after=["http://testserver/login/"]))
    provider_process.heard()
    trust(settings, provider_process.issuer)
    return provider_process


def trust(settings, issuer):
    """Settings of a console whose provider has this issuer; what this process knew of it is forgotten."""
    from tenants.oidc import provider

    provider._providers.clear()
    settings.OIDC_ISSUER = issuer
    settings.OIDC_PROVIDER_NAME = "Harbour"
    settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = CLIENT, SECRET
    settings.OIDC_API_AUDIENCE = AUDIENCE
    settings.OIDC_SIGN_IN_PARAMETERS = {"prompt": "consent"}  # without which this one grants no offline_access


@pytest.fixture
def sign_in(client, provider):
    """Sign in as a user of the provider, as a browser does; returns the console's last answer."""

    def sign_in(sub, next_url="", browser=None):
        start = client.get("/oidc/sign-in/", {"next": next_url} if next_url else {})
        assert start.status_code == 302, start.content.decode()
        return client.get(provider.visit(start["Location"], sub, browser))

    return sign_in

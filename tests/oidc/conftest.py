"""A provider for all tests of the package, and a console that trusts it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.oidc.running_provider import AUDIENCE, CALLBACK, CLIENT, SECRET, RunningProvider, clients
from tests.oidc.signing_server import SigningServer


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
    from directory.oidc import provider

    provider._providers.clear()
    settings.OIDC_ISSUER = issuer
    settings.OIDC_PROVIDER_NAME = "Harbour"
    settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = CLIENT, SECRET
    settings.OIDC_API_AUDIENCE = AUDIENCE
    # Without which this one grants no offline_access.
    settings.OIDC_SIGN_IN_PARAMETERS = {"prompt": "consent"}


@pytest.fixture
def sign_in(client, provider):
    """Sign in as a user of the provider, as a browser does; returns the console's last answer."""

    def sign_in(sub, next_url="", browser=None):
        start = client.get("/oidc/sign-in/", {"next": next_url} if next_url else {})
        assert start.status_code == 302, start.content.decode()
        return client.get(provider.visit(start["Location"], sub, browser))

    return sign_in


@pytest.fixture(scope="session")
def signing_server():
    server = SigningServer()
    yield server
    server.close()


@pytest.fixture
def liar(signing_server, settings):
    """A provider that says what the test makes it say."""
    signing_server.reset()
    trust(settings, signing_server.issuer)
    return signing_server


@pytest.fixture
def come_back(client, liar):
    """Set out to the lying provider, let it sign claims with the nonce that was sent, and come back with a code."""

    def come_back(make_token=None, **changes):
        start = client.get("/oidc/sign-in/")
        asked = {name: values[0] for name, values in parse_qs(urlsplit(start["Location"]).query).items()}
        claims = liar.claims(**{"nonce": asked["nonce"]} | changes)
        liar.give_tokens(make_token(claims) if make_token else liar.sign(claims))
        return client.get("/oidc/callback/", {"code": "c", "state": asked["state"]})

    return come_back

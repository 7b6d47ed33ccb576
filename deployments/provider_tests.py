"""Trying a provider from the console before it is saved, and in words what came of it."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.egress import Explained
from core.encryption import CannotDecrypt
from deployments.models import Provider, ProviderCredential
from deployments.provider_credentials import NewCredential, secret_for_test
from deployments.provider_fields import allowed_networks, translated
from deployments.providers.asking import Upstream
from deployments.providers.listing import Report, try_provider

# Somebody waits in front of a page, whatever patience calls have.
MOST_PATIENCE_SECONDS = 10


def upstream_of(provider: Provider, credential: NewCredential | None = None) -> Upstream:
    """A provider, saved or not, as the test calls it: with a new credential, else with the stored one in force."""
    is_elsewhere = credential is not None and credential.kind != ProviderCredential.Kind.STORED
    secret = credential.secret if credential is not None else ""
    if credential is None and not provider._state.adding:
        secret = secret_for_test(provider)
        is_elsewhere = not secret and provider.credentials.exists()
    return Upstream(
        base_url=provider.base_url,
        dialect=provider.dialect,
        credential=secret,
        is_credential_elsewhere=is_elsewhere,
        headers=provider.extra_headers,
        api_version=provider.api_version,
        proxy_url=provider.proxy_url,
        private_ca=provider.private_ca,
        connect_timeout_seconds=min(provider.connect_timeout_seconds, MOST_PATIENCE_SECONDS),
        first_byte_timeout_seconds=min(provider.first_byte_timeout_seconds, MOST_PATIENCE_SECONDS),
        idle_timeout_seconds=min(provider.idle_timeout_seconds, MOST_PATIENCE_SECONDS),
    )


def require_reached(provider: Provider, credential: NewCredential | None = None) -> Report:
    """Ask a provider for its models. Takes at most some seconds, and changes nothing; safe to repeat.

    Raises ValidationError with the exact fault, for the field that it is about where one is.
    """
    try:
        return try_provider(upstream_of(provider, credential), allowed_networks())
    except CannotDecrypt as lost:
        message = _("The stored credential cannot be decrypted: SECRET_KEY has changed. Enter it again.")
        raise ValidationError({"credential": message}) from lost
    except Explained as fault:
        raise ValidationError({_FIELDS.get(fault.code, "base_url"): [translated(fault)]}) from fault


_FIELDS = {
    "credential": "credential",
    "certificate_unknown": "private_ca",
    "private_ca": "private_ca",
    "proxy": "proxy_url",
}


def in_words(report: Report) -> str:
    """A successful test in one sentence: "Reached, 37 models listed, 210 ms." """
    if not report.lists_models:
        return _("Reached, in %(ms)d ms. It lists no models: name those that you want to use.") % {
            "ms": report.milliseconds
        }
    return ngettext(
        "Reached, %(count)d model listed, %(ms)d ms.",
        "Reached, %(count)d models listed, %(ms)d ms.",
        len(report.models),
    ) % {"count": len(report.models), "ms": report.milliseconds}

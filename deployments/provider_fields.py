"""What a provider's fields may hold, beyond what each column says by itself."""

from __future__ import annotations

import re
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from core.egress import Explained, Networks, read_networks, read_private_ca, read_proxy_url, read_url
from core.leaks import secret_in
from deployments.models import EgressPolicy, Provider
from deployments.models.providers import REGION

MOST_HEADERS: Final = 20
MOST_REGIONS: Final = 20
_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_VALUE: Final = re.compile(r"[!-~](?:[ -~]{0,498}[!-~])?")
# Set for each call by whoever sends it.
_OF_THE_CALL: Final = frozenset(
    {
        "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect",
        "forwarded", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "via",
    }
)  # fmt: skip
# Headers that carry credentials by their name. They have a field of their own, which is encrypted.
_SECRET: Final = re.compile(
    r"auth|cookie|credential|password|secret|token|signature|(^|-)(api-?)?keys?(-|$)|apikey|session"
)


def translated(error: Explained) -> str:
    """The sentence of an error from code without Django, in the reader's language."""
    return _(error.template) % error.facts


def allowed_networks() -> Networks:
    """The networks beyond the public Internet in which providers may be."""
    policy = EgressPolicy.objects.filter(pk=1).first()
    return read_networks(policy.allowed_networks) if policy else Networks()


def clean_provider(provider: Provider, networks: Networks) -> None:
    """Bring a provider's fields into their stored form, in memory. Raises ValidationError by field."""
    errors: dict[str, Any] = {}
    try:
        # Regions are read below, into lower case.
        provider.clean_fields(exclude=["regions"])
    except ValidationError as error:
        errors |= error.update_error_dict({})
    for name, read in (
        ("base_url", lambda: read_url(provider.base_url, networks).url),
        ("proxy_url", lambda: provider.proxy_url and read_proxy_url(provider.proxy_url, networks).url),
        ("private_ca", lambda: read_private_ca(provider.private_ca)),
        ("extra_headers", lambda: clean_headers(provider.extra_headers)),
        ("regions", lambda: clean_regions(provider.regions)),
    ):
        try:
            setattr(provider, name, read())
        except Explained as refused:
            errors.setdefault(name, [translated(refused)])
        except ValidationError as error:
            errors.setdefault(name, error.messages)
    for name in ("name", "title", "api_version", "regions"):
        said = getattr(provider, name)
        if secret_in(" ".join(said) if isinstance(said, list) else said):
            errors[name] = [_("This looks like a secret. Credentials have a field of their own.")]
    if "proxy_url" not in errors and provider.proxy_url and not provider.base_url.startswith("https:"):
        errors.setdefault("proxy_url", [_("Only https goes through a proxy.")])
    if errors:
        raise ValidationError(errors)


def clean_headers(headers: Any) -> dict[str, str]:
    """Extra headers with names in lower case. Raises ValidationError naming one that is a secret or the call's own."""
    if not isinstance(headers, dict) or len(headers) > MOST_HEADERS:
        raise ValidationError(
            _("At most %(most)d headers, each a name and a value.") % {"most": MOST_HEADERS}
        )
    cleaned: dict[str, str] = {}
    for said, value in headers.items():
        name, value = str(said).strip().lower(), str(value).strip()
        shown = name[:64]
        if (
            not _TOKEN.fullmatch(name)
            or name in _OF_THE_CALL
            or name.startswith(("proxy-", "x-forwarded-", "sec-"))
        ):
            raise ValidationError(_("%(name)s cannot be an extra header.") % {"name": shown})
        if _SECRET.search(name) or secret_in(value):
            message = _("%(name)s looks like a secret. Credentials have a field of their own.")
            raise ValidationError(message % {"name": shown})
        if not _VALUE.fullmatch(value):
            message = _("The value of %(name)s must be ASCII characters in one line, at most 500.")
            raise ValidationError(message % {"name": shown})
        if name in cleaned:
            raise ValidationError(_("%(name)s is there twice.") % {"name": shown})
        cleaned[name] = value
    return cleaned


def clean_regions(regions: Any) -> list[str]:
    """Regions in lower case, each once, in order. Raises ValidationError naming one that is no name of a region."""
    cleaned = list(
        dict.fromkeys(str(region).strip().lower() for region in regions or () if str(region).strip())
    )
    if len(cleaned) > MOST_REGIONS:
        raise ValidationError(_("At most %(most)d regions.") % {"most": MOST_REGIONS})
    for region in cleaned:
        try:
            REGION(region)
        except ValidationError as error:
            message = _(
                "%(region)s is no region. Use lower-case letters, digits and hyphens, such as eu-west-1."
            )
            raise ValidationError(message % {"region": region[:60]}) from error
    return cleaned

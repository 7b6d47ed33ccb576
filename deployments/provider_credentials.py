"""Credentials of providers: how they are encrypted, recognized, and handed to gateways. Nothing else decrypts them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from django.core.exceptions import ValidationError
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.timezone import now
from django.utils.translation import gettext as _

from core.encryption import CannotDecrypt, decrypt, encrypt
from deployments.models import Provider, ProviderCredential
from deployments.models.providers import FILE, VARIABLE

PURPOSE: Final = "provider credentials"
LONGEST: Final = 4_096
# Shorter ones show no end: it would be too large a part.
SHORTEST_WITH_HINT: Final = 16
_HINT: Final = 4


@dataclass(frozen=True)
class NewCredential:
    """A credential that somebody enters: a secret to store, or the name of a file or variable on the gateways."""

    kind: ProviderCredential.Kind
    secret: str = field(default="", repr=False)
    reference: str = ""


@dataclass(frozen=True)
class GatewayCredential:
    """What a gateway needs to authenticate with a provider: the secret in clear text, or where the gateway finds it."""

    kind: ProviderCredential.Kind
    # The secret for "stored"; the name of the file or variable for the others.
    value: str = field(repr=False)
    # None: until it is replaced. A gateway stops using it then by itself.
    valid_until: datetime | None


def clean_credential(kind: str, secret: str, reference: str) -> NewCredential | None:
    """Read what somebody entered; None if all is empty.

    Raises ValidationError for `credential` or `reference`: a secret that cannot be a header, a file that is no plain
    name below the gateways' directory of credentials, a variable that does not begin with PROVIDER_.
    """
    secret, reference = secret.strip(), reference.strip()
    if not kind and not secret and not reference:
        return None
    if kind not in ProviderCredential.Kind.values:
        raise ValidationError({"credential_kind": _("Say whether it is stored here, a file or a variable.")})
    if kind == ProviderCredential.Kind.STORED:
        if reference:
            raise ValidationError({"reference": _("A stored credential has no reference.")})
        if not secret:
            raise ValidationError({"credential": _("Enter the credential.")})
        if len(secret) > LONGEST or not secret.isascii() or not secret.isprintable() or " " in secret:
            message = _("A credential is one word of ASCII characters, at most %(most)d.")
            raise ValidationError({"credential": message % {"most": LONGEST}})
        return NewCredential(ProviderCredential.Kind.STORED, secret=secret)
    if secret:
        raise ValidationError({"credential": _("The gateways have the credential. Leave this empty.")})
    if kind == ProviderCredential.Kind.FILE and not re.fullmatch(FILE, reference):
        raise ValidationError(
            {"reference": _("Enter a file below the gateways' directory of credentials, such as openai/key.")}
        )
    if kind == ProviderCredential.Kind.VARIABLE and not re.fullmatch(VARIABLE, reference):
        raise ValidationError(
            {"reference": _("The variable's name begins with PROVIDER_, such as PROVIDER_OPENAI.")}
        )
    return NewCredential(ProviderCredential.Kind(kind), reference=reference)


def row_of(provider: Provider, new: NewCredential) -> ProviderCredential:
    """An unsaved row of a new credential, its secret encrypted."""
    row = ProviderCredential(provider=provider, kind=new.kind, reference=new.reference)
    if new.kind == ProviderCredential.Kind.STORED:
        row.ciphertext = encrypt(new.secret.encode(), PURPOSE)
        row.hint = new.secret[-_HINT:] if len(new.secret) >= SHORTEST_WITH_HINT else ""
        row.fingerprint = fingerprint_of(new.secret)
    return row


def fingerprint_of(secret: str) -> str:
    """Twelve digits by which people compare credentials. Keyed, so that nobody can search for the secret with it."""
    return salted_hmac(PURPOSE, secret, algorithm="sha256").hexdigest()[:12]


def is_same(row: ProviderCredential, new: NewCredential) -> bool:
    """Whether a saved credential is the one that somebody enters now; False for one that cannot be decrypted."""
    if row.kind != new.kind:
        return False
    if row.kind != ProviderCredential.Kind.STORED:
        return row.reference == new.reference
    try:
        return row.ciphertext is not None and constant_time_compare(_plain(row), new.secret)
    except CannotDecrypt:
        # Whoever enters it again replaces what is lost.
        return False


def secret_for_test(provider: Provider) -> str:
    """The stored credential in force, in clear text, to test the provider with. Empty: none, or gateways have it."""
    row = provider.credentials.in_force(now()).first()
    return _plain(row) if row is not None and row.ciphertext is not None else ""


def credentials_for_gateways(provider: Provider, *, at: datetime | None = None) -> list[GatewayCredential]:
    """The credentials in force, for the configuration of gateways, the newest first; while one is rotated out, two.

    This is the only way out for gateways. The result holds clear text for a stored credential: whoever calls this seals
    it to the gateway that needs it, and never puts it into a snapshot, a log or a file as it is. For a reference it
    holds only the name. Asks nothing of the database if the provider's credentials are loaded. Raises CannotDecrypt if
    SECRET_KEY has changed without SECRET_KEY_FALLBACKS.
    """
    moment = at or now()
    rows = [one for one in provider.credentials.all() if one.is_in_force(moment)]
    rows.sort(key=lambda one: (one.valid_from, one.pk), reverse=True)
    return [
        GatewayCredential(
            ProviderCredential.Kind(row.kind),
            _plain(row) if row.kind == ProviderCredential.Kind.STORED else row.reference,
            row.valid_until,
        )
        for row in rows
    ]


def _plain(row: ProviderCredential) -> str:
    return decrypt(row.ciphertext, PURPOSE).decode() if row.ciphertext is not None else ""

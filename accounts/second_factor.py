"""Second factors: whether one is required, and whether a code is correct. The actions of people are in
accounts/actions/second_factor.py."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django_otp.oath import TOTP

from accounts.models import RecoveryCode, SecondFactor, User
from core.context import current_origin
from core.encryption import decrypt, encrypt

ISSUER = "Quartermaster"  # what authenticator apps show
# RFC 4226, section 4: the length of a SHA-1.
SECRET_BYTES = 20
# A code is valid half a minute longer, because clocks differ and people need time to type.
TOLERANCE_STEPS = 1
# Wrong codes before a wait, which starts at 2 seconds and doubles each time.
FREE_FAILURES = 3
LONGEST_WAIT = timedelta(minutes=15)
RECOVERY_CODES = 10
_PURPOSE = "authenticator secret"
# No letters that people mistake for each other; 31 ** 16 is above 2 ** 79.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True)
class Verdict:
    """The result of a code. `wait_until` is the time before which no other code is accepted, if there is a wait."""

    is_right: bool
    is_recovery_code: bool = False
    was_looked_at: bool = True
    wait_until: datetime | None = None


def is_required_of(user: User) -> bool:
    """Whether `user` must have a second factor to do anything here."""
    return bool(user.is_staff and settings.STAFF_SECOND_FACTOR == "required")


def has_authenticator(user: User) -> bool:
    """Whether `user` has set one up here (we do not know about a provider's own second factor)."""
    return SecondFactor.objects.filter(user=user).exists()


def require_second_factor(user: User, action: str) -> None:
    """Raise PermissionDenied unless the action comes from a sign-in with a second factor.

    Args:
        action: the purpose, in words that follow "to": "approve requests". Access tokens never have a second factor.
    """
    if not current_origin.get().has_second_factor:
        raise PermissionDenied(
            _(
                "This installation requires a second factor to %(action)s. Open “Second factor” in your "
                "account menu, confirm a code, and try again. Access tokens cannot do this."
            )
            % {"action": action}
        )


def new_secret() -> bytes:
    """A random secret for an authenticator app."""
    return secrets.token_bytes(SECRET_BYTES)


def spelled(secret: bytes) -> str:
    """The secret for typing into an app: base32, without padding."""
    return base64.b32encode(secret).decode().rstrip("=")


def provisioning_uri(user: User, secret: bytes) -> str:
    """The content of the QR code (the Key URI format of authenticator apps)."""
    label = quote(f"{ISSUER}:{user.email}")
    return f"otpauth://totp/{label}?secret={spelled(secret)}&issuer={quote(ISSUER)}&algorithm=SHA1&digits=6&period=30"


def matching_step(secret: bytes, code: str, *, after_step: int = 0) -> int | None:
    """The time step of this code, if it is a current one and later than `after_step`; else None."""
    if not (len(code) == 6 and code.isascii() and code.isdigit()):
        return None
    at = TOTP(secret)
    at.time = time.time()
    return at.t() if at.verify(int(code), TOLERANCE_STEPS, min_t=after_step + 1) else None


def new_recovery_codes() -> list[str]:
    """Codes like "x7kq-m2pd-9fwa-t3hn", 79 random bits each: enough for a plain digest."""
    plain = ("".join(secrets.choice(_LETTERS) for _ in range(16)) for _ in range(RECOVERY_CODES))
    return ["-".join(code[at : at + 4] for at in range(0, 16, 4)) for code in plain]


def digest_of(recovery_code: str) -> str:
    """The stored digest of a recovery code; capitals, dashes and spaces do not matter."""
    letters = "".join(letter for letter in recovery_code.lower() if letter.isalnum())
    return hashlib.sha256(letters.encode()).hexdigest()


def encrypt_secret(secret: bytes) -> bytes:
    """The secret in its stored form."""
    return encrypt(secret, _PURPOSE)


def decrypt_secret(ciphertext: bytes | memoryview) -> bytes:
    """The decrypted secret. Raises CannotDecrypt."""
    return decrypt(ciphertext, _PURPOSE)


@transaction.atomic
def check_code(user: User, code: str) -> Verdict:
    """Check a code of the authenticator, or a recovery code; each works once.

    Wrong codes cause a wait: 2 seconds after the third, then twice as long each time, at most a quarter of an hour.
    For a person without an authenticator every code is wrong. It returns instead of raising, so that a failure is
    counted.
    """
    factor = SecondFactor.objects.select_for_update().filter(user=user).first()
    if factor is None:
        return Verdict(is_right=False)
    if factor.refused_until is not None and factor.refused_until > now():
        return Verdict(is_right=False, was_looked_at=False, wait_until=factor.refused_until)
    code = code.strip().replace(" ", "")
    step = matching_step(decrypt_secret(factor.secret), code, after_step=factor.last_step)
    is_recovery_code = step is None and _use_recovery_code(factor, code)
    if step is None and not is_recovery_code:
        factor.failures += 1
        if factor.failures >= FREE_FAILURES:
            doubled = min(factor.failures - FREE_FAILURES + 1, 10)
            factor.refused_until = now() + min(timedelta(seconds=2**doubled), LONGEST_WAIT)
        factor.save(update_fields=["failures", "refused_until"])
        return Verdict(is_right=False, wait_until=factor.refused_until)
    factor.last_step = step if step is not None else factor.last_step
    factor.failures, factor.refused_until, factor.used_at = 0, None, now()
    factor.save(update_fields=["last_step", "failures", "refused_until", "used_at"])
    return Verdict(is_right=True, is_recovery_code=is_recovery_code)


def _use_recovery_code(factor: SecondFactor, code: str) -> bool:
    unused = RecoveryCode.objects.filter(second_factor=factor, digest=digest_of(code), used_at=None)
    return unused.update(used_at=now()) == 1

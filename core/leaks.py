"""Keep secrets, and what people write to models, out of the audit log and the logs.

Imports neither Django nor the database, so that the tests' scanner can apply the same checks to every log line.
"""

from __future__ import annotations

import re
from typing import Final

from core.secrets import looks_like

# Values under these names are never recorded.
NAMES: Final = frozenset(
    {
        *(
            "password",
            "passwd",
            "passphrase",
            "credentials",
            "otp",
            "totp_secret",
            "private_key",
            "client_secret",
        ),
        *("secret", "digest", "access_token", "refresh_token", "id_token", "api_key", "code_verifier"),
        *("session_key", "cookie", "authorization"),
        *("prompt", "prompts", "messages", "completion", "completions", "input_text", "output_text"),
    }
)
_OURS: Final = re.compile(r"(?<![A-Za-z0-9])(qm[a-z]?)_[A-Za-z0-9_-]{43}[0-9A-Za-z]{6}")
OUR_KIND: Final = "one of our keys or tokens"
_FOREIGN: Final = {
    "a signed token (JWT)": re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an administrator's link": re.compile(r"(?<=/login/once/)[A-Za-z0-9_:-]{32,}"),
    "a password hash": re.compile(r"\b(?:argon2|pbkdf2_sha256|scrypt|bcrypt_sha256)\$[^\s\"]{20,}"),
    "a key of another service": re.compile(
        r"\b(?:sk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,})\b"
    ),
}


# audit/kinds_of_secrets.py says them in the language of the reader.
KINDS: Final = frozenset({OUR_KIND, *_FOREIGN})


def secret_in(text: str) -> str:
    """The kind of secret in `text`, in words; empty if none is recognized."""
    if "qm" in text:
        for found in _OURS.finditer(text):
            if looks_like(found[1], found[0]):
                return OUR_KIND
    for kind, pattern in _FOREIGN.items():
        if pattern.search(text):
            return kind
    return ""


def without_secrets(text: str) -> str:
    """`text` with every secret cut down to its recognizable beginning; for unsolicited text from callers."""

    def shortened(found: re.Match[str]) -> str:
        return f"{found[0][:8]}…"

    if "qm" in text:
        text = _OURS.sub(shortened, text)
    for pattern in _FOREIGN.values():
        text = pattern.sub(shortened, text)
    return text

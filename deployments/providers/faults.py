"""What went wrong between us and a provider, and what a provider said, without the credential."""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from core.egress import Explained, gettext_noop
from core.leaks import without_secrets

LONGEST_WORDS: Final = 200
# A LiteLLM proxy without a database says so (with 400) of every key but its master key.
_OF_LITELLM: Final = b'"no_db_connection"'
# A run of so many characters that words and the credential share gives it away.
_SHARED: Final = 6
_WORD: Final = re.compile(r"\S+")
_MASKED: Final = re.compile(r"\*{2,}|\.{4,}|•{2,}")


class ProviderFault(Explained):
    """The provider was asked, and this is why it cannot be used as it stands. The sentence names no credential."""

    # Until it answered; 0 if it did not.
    milliseconds = 0


def words_of(body: bytes, credential: str) -> str:
    """What a provider's error says, in one short line, without any part of the credential. Empty: nothing readable."""
    text = body[:65_536].decode(errors="replace")
    try:
        text = _message_in(json.loads(text)) or ""
    except (ValueError, RecursionError):
        if "<" in text[:200]:
            # A page of some proxy: its title, at best.
            title = re.search(r"<title>([^<]*)", text, re.IGNORECASE)
            text = title[1] if title else ""
    return scrubbed(text, credential)


def scrubbed(text: str, credential: str) -> str:
    """One line of what somebody else wrote, at most LONGEST_WORDS characters, without any part of the credential."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    line = _WORD.sub(lambda word: "…" if _gives_away(word[0], credential) else word[0], without_secrets(line))
    if _shares(unquote(line).replace(" ", ""), credential):
        return ""
    return line if len(line) <= LONGEST_WORDS else f"{line[: LONGEST_WORDS - 1]}…"


def _message_in(answer: Any) -> str:
    """The message of an error in one of the usual shapes."""
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error", answer)
    if isinstance(error, str):
        return error
    if isinstance(error, dict):
        found = error.get("message") or error.get("detail") or error.get("msg") or ""
        return found if isinstance(found, str) else ""
    return ""


def _gives_away(word: str, credential: str) -> bool:
    """Whether a word is a key, whole or masked: `sk-ab*****yz`, or something that shares a run with the credential."""
    return bool(_MASKED.search(word)) or _shares(word, credential) or _shares(unquote(word), credential)


def _shares(text: str, credential: str) -> bool:
    # In any case: whoever writes the key in capitals gives it away all the same.
    text, credential = text.lower(), credential.lower()
    runs: Iterable[str] = (
        [credential]
        if 0 < len(credential) < _SHARED
        else (credential[start : start + _SHARED] for start in range(len(credential) - _SHARED + 1))
    )
    return any(run in text for run in runs)


def of_connection(error: OSError, host: str, seconds: float) -> ProviderFault:
    """The fault behind an error of the operating system or of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(error, host)
    if isinstance(error, ssl.SSLError):
        return ProviderFault(
            "tls", gettext_noop("%(host)s does not speak TLS on this port. Is the port right?"), host=host
        )
    if isinstance(error, TimeoutError):
        return ProviderFault(
            "no_answer",
            gettext_noop(
                "%(host)s did not answer within %(seconds)g seconds. A firewall may be in between, or the address is "
                "wrong."
            ),
            host=host,
            seconds=seconds,
        )
    if isinstance(error, ConnectionRefusedError):
        return ProviderFault(
            "refused",
            gettext_noop("%(host)s refuses the connection: nothing listens on this port. Is the port right?"),
            host=host,
        )
    if type(error).__name__ == "gaierror":
        return ProviderFault(
            "name_not_found", gettext_noop("The name %(host)s is not known. Is it spelled right?"), host=host
        )
    words = scrubbed(str(error.args[-1]) if error.args else "", "")
    return ProviderFault(
        "connection", gettext_noop("The connection to %(host)s failed: %(words)s"), host=host, words=words
    )


def _of_certificate(error: ssl.SSLCertVerificationError, host: str) -> ProviderFault:
    # X509_V_ERR_…: 62 and 64 another name, 10 expired, 9 not yet valid.
    if error.verify_code in (62, 64):
        return ProviderFault(
            "certificate_name",
            gettext_noop("The TLS certificate at %(host)s is for another name. Is the base URL right?"),
            host=host,
        )
    if error.verify_code in (9, 10):
        return ProviderFault(
            "certificate_expired",
            gettext_noop("The TLS certificate of %(host)s has expired, or is not valid yet."),
            host=host,
        )
    return ProviderFault(
        "certificate_unknown",
        gettext_noop(
            "The TLS certificate of %(host)s is not from a known authority. If it is your own, paste its certificate "
            "into 'Private CA'."
        ),
        host=host,
    )


def of_status(status: int, body: bytes, *, base_url: str, credential: str, location: str) -> ProviderFault:
    """The fault behind an answer other than 200.

    Args:
        status: of the answer.
        body: of the answer; its words are quoted without the credential.
        base_url: for the advice.
        credential: never part of the sentence.
        location: where a redirect leads; only its scheme and host are named.
    """
    words = words_of(body, credential) or "–"
    if status in (401, 403) or _OF_LITELLM in body:
        template = (
            gettext_noop("It rejects the credential (%(status)d). It says: %(words)s")
            if credential
            else gettext_noop("It wants a credential (%(status)d). It says: %(words)s")
        )
        return ProviderFault("credential", template, status=status, words=words)
    if 300 <= status < 400:
        parts = urlsplit(location)
        leads = scrubbed(
            f"{parts.scheme}://{parts.hostname}" if parts.hostname else location[:80], credential
        )
        return ProviderFault(
            "redirect",
            gettext_noop("It redirects to %(leads)s. Redirects are not followed; enter the final address."),
            leads=leads or "–",
        )
    if status in (404, 405):
        if base_url.endswith("/v1"):
            template = gettext_noop(
                "It has no list of models below %(url)s (%(status)d). Is the base URL right?"
            )
        else:
            template = gettext_noop(
                "It has no list of models below %(url)s (%(status)d). Is the base URL complete? Try %(url)s/v1"
            )
        return ProviderFault("not_found", template, status=status, url=base_url)
    if status == 429:
        return ProviderFault(
            "limited", gettext_noop("It is reached, but limits us (429). It says: %(words)s"), words=words
        )
    return ProviderFault(
        "status", gettext_noop("It answers %(status)d. It says: %(words)s"), status=status, words=words
    )

"""The configured OpenID provider: its discovery document, its keys, and the requests to its endpoints.

Every answer is limited in time and size. An answer that does not fit the protocol raises a ProviderProblem.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlsplit

import jwt
import requests
import structlog
from django.conf import settings

from directory.oidc.errors import GrantLost, ProviderMisbehaved, ProviderProblem, ProviderUnavailable

log = structlog.get_logger(__name__)

# How long the discovery document and the keys are cached.
DOCUMENT_SECONDS = 3600
# How long they are used while the provider cannot supply newer ones.
STALE_SECONDS = 24 * 3600
# How often tokens that name an unknown key may cause the keys to be fetched again.
RENEWALS_A_MINUTE = 6
LARGEST_ANSWER = 1_000_000  # bytes
# Key types by the first two letters of an algorithm's name.
KEY_TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class Provider:
    """One issuer. This process fetches its documents when they are first needed, and caches them."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self._description = _Kept(self._fetch_description)
        self._keys = _Kept(self._fetch_keys)
        self._renewals: deque[float] = deque(maxlen=RENEWALS_A_MINUTE)

    def endpoint(self, name: str) -> str:
        """The address of an endpoint by its name in the discovery document. Raises ProviderMisbehaved if missing."""
        if address := self.optional_endpoint(name):
            return address
        raise ProviderMisbehaved(f"the discovery document names no {name}")

    def optional_endpoint(self, name: str) -> str:
        """The address of an endpoint, or an empty string if the provider does not offer it."""
        address = self._description.get().get(name) or ""
        if not isinstance(address, str) or (address and not self._is_safe(address)):
            raise ProviderMisbehaved(f"{name} is not an https address")
        return address

    def names_itself_in_answers(self) -> bool:
        """Whether every answer to a browser must carry `iss` (RFC 9207)."""
        return bool(self._description.get().get("authorization_response_iss_parameter_supported"))

    def key_of(self, header: dict[str, Any]) -> jwt.PyJWK:
        """The key that a token's header names. Raises jwt.InvalidTokenError if there is none, even among newer keys.

        An unknown key causes another request to the provider, but only a few times a minute, because anyone can write
        a header.
        """
        key = _matching(self._keys.get(), header)
        if key is None and self._may_renew():
            key = _matching(self._keys.renew(), header)
        if key is None:
            raise jwt.InvalidTokenError("no key of the provider fits the token")
        return key

    def ask_for_tokens(self, **parameters: str) -> dict[str, Any]:
        """Ask the token endpoint. Raises GrantLost if it no longer honors the code or refresh token."""
        answer = _ask(
            "POST",
            self.endpoint("token_endpoint"),
            **self._with_credentials(parameters),
        )
        if answer.status == 200:
            return answer.json()
        error = answer.error()
        if error == "invalid_grant":
            raise GrantLost("the token endpoint says invalid_grant")
        raise ProviderMisbehaved(f"the token endpoint says {answer.status} {error}")

    def ask_who(self, access_token: str) -> Answer:
        """Ask the userinfo endpoint whose access token this is."""
        answer = _ask(
            "GET", self.endpoint("userinfo_endpoint"), headers={"Authorization": f"Bearer {access_token}"}
        )
        if answer.status != 200:
            raise ProviderMisbehaved(f"the userinfo endpoint says {answer.status}")
        return answer

    def _with_credentials(self, parameters: dict[str, str]) -> dict[str, Any]:
        """The parameters and the client's credentials: basic authentication, or form fields if only those work."""
        client, secret = settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET
        methods = self._description.get().get("token_endpoint_auth_methods_supported")
        if (
            isinstance(methods, list)
            and methods
            and "client_secret_basic" not in methods
            and "client_secret_post" in methods
        ):
            return {"data": parameters | {"client_id": client, "client_secret": secret}}
        return {"data": parameters, "auth": (quote_plus(client), quote_plus(secret))}

    def _fetch_description(self) -> dict[str, Any]:
        answer = _ask("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
        if answer.status != 200:
            raise ProviderMisbehaved(f"the discovery document answers {answer.status}")
        description = answer.json()
        if description.get("issuer") != self.issuer:
            raise ProviderMisbehaved(
                f"the discovery document is of {description.get('issuer')!r}, OIDC_ISSUER is {self.issuer!r}"
            )
        return description

    def _fetch_keys(self) -> dict[str, Any]:
        answer = _ask("GET", self.endpoint("jwks_uri"))
        if answer.status != 200:
            raise ProviderMisbehaved(f"the keys answer {answer.status}")
        keys = answer.json()
        if not isinstance(keys.get("keys"), list):
            raise ProviderMisbehaved("the keys are no key set")
        return keys

    def _may_renew(self) -> bool:
        moment = time.monotonic()
        if len(self._renewals) == RENEWALS_A_MINUTE and self._renewals[0] > moment - 60:
            return False
        self._renewals.append(moment)
        return True

    def _is_safe(self, address: str) -> bool:
        """Whether the address uses https. A provider on this machine may use http."""
        try:
            parts = urlsplit(address)
        except ValueError:
            return False
        return parts.scheme == "https" or (
            parts.scheme == "http"
            and urlsplit(self.issuer).hostname in settings.LOOPBACK_HOSTS
            and parts.hostname in settings.LOOPBACK_HOSTS
        )


def _matching(keys: dict[str, Any], header: dict[str, Any]) -> jwt.PyJWK | None:
    """The signing key that the header names and that fits its algorithm. Without a name, the only key that fits."""
    algorithm, name = header["alg"], header.get("kid")
    fitting = [
        key
        for key in keys["keys"]
        if isinstance(key, dict)
        and key.get("kty") == KEY_TYPES.get(algorithm[:2])
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (name is None or key.get("kid") == name)
    ]
    if len(fitting) != 1:
        return None
    try:
        return jwt.PyJWK(fitting[0], algorithm=algorithm)
    except jwt.PyJWTError:
        return None


_providers: dict[str, Provider] = {}


def current_provider() -> Provider:
    """The provider of OIDC_ISSUER. Raises ProviderMisbehaved if none is configured."""
    issuer = settings.OIDC_ISSUER
    if not issuer:
        raise ProviderMisbehaved("OIDC_ISSUER is not set")
    return _providers.setdefault(issuer, Provider(issuer))


class _Kept:
    """A cached document. It is fetched again when it is needed and too old; the old one is used until that succeeds."""

    def __init__(self, fetch: Callable[[], dict[str, Any]]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._document: dict[str, Any] | None = None
        self._fetched_at = self._failed_at = float("-inf")  # time.monotonic() of the last

    def get(self) -> dict[str, Any]:
        document, age = self._document, time.monotonic() - self._fetched_at
        if document is not None and age < DOCUMENT_SECONDS:
            return document
        try:
            return self.renew()
        except (ProviderUnavailable, ProviderMisbehaved) as problem:
            if document is None or age > STALE_SECONDS:
                raise
            log.warning("oidc.document_is_old", seconds=int(age), reason=problem.reason)
            return document

    def renew(self) -> dict[str, Any]:
        """Fetch it now. A thread that waited for another thread's fetch takes its result, even if it failed."""
        asked_at = time.monotonic()
        with self._lock:
            if self._document is not None and self._fetched_at > asked_at:
                return self._document
            if self._failed_at > asked_at:
                raise ProviderUnavailable("it did not answer another request just now")
            try:
                self._document = self._fetch()
            except ProviderProblem:
                self._failed_at = time.monotonic()
                raise
            self._fetched_at = time.monotonic()
            return self._document


class Answer:
    """An answer of the provider: its status, its type and at most LARGEST_ANSWER bytes."""

    def __init__(self, response: requests.Response) -> None:
        self.status = response.status_code
        self.kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        self.body = b""
        for part in response.iter_content(65_536):
            self.body += part
            if len(self.body) > LARGEST_ANSWER:
                raise ProviderMisbehaved("the answer is longer than a megabyte")

    def json(self) -> dict[str, Any]:
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ProviderMisbehaved("the answer is no JSON") from error
        if not isinstance(document, dict):
            raise ProviderMisbehaved("the answer is no JSON object")
        return document

    def error(self) -> str:
        """The OAuth error code, if there is one."""
        try:
            return str(self.json().get("error", ""))[:60]
        except ProviderMisbehaved:
            return ""


def _ask(method: str, address: str, **options: Any) -> Answer:
    try:
        with requests.request(
            method, address, timeout=settings.OIDC_TIMEOUT, allow_redirects=False, stream=True, **options
        ) as response:
            answer = Answer(response)
    except (requests.RequestException, OSError) as error:
        raise ProviderUnavailable(f"{urlsplit(address).path}: {type(error).__name__}") from error
    if answer.status >= 500 or answer.status == 429:
        raise ProviderUnavailable(f"{urlsplit(address).path}: {answer.status}")
    return answer

"""What a tour of a demo carries from step to step, and how it expects something."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeVar

import openai

from config.demo.browser import Browser
from core.local_days import day_at

T = TypeVar("T")


class Difference(Exception):
    """The product's answer differs from the expected one."""


@dataclass
class Visit:
    """The state that the tour passes from step to step."""

    installation: dict[str, Any]
    # Multiplies all waiting times, for busy machines.
    patience: float = 1.0
    developer: Browser = field(init=False)
    request_path: str = ""
    tracks: list[str] = field(default_factory=list)
    secret: str = ""
    key_id: str = ""
    # Tokens that our calls used, according to the engine.
    tokens: int = 0
    calls: int = 0

    def __post_init__(self) -> None:
        self.developer = Browser(self.console)

    @property
    def console(self) -> str:
        return str(self.installation["console"])

    def account(self, role: str, tenant: str | None = None) -> dict[str, Any]:
        """The demo's account with this role. Raises Difference if the installation has none."""
        for account in self.installation["accounts"]:
            if account["role"] == role and account["tenant"] == tenant:
                return dict(account)
        raise Difference(f"The demo has no {role} of {tenant or 'the platform'}.")

    def today(self, account: dict[str, Any]) -> date:
        """Today's date in the tenant's time zone, which determines when its days and months begin."""
        day = datetime.now(UTC).date().isoformat()
        answer = self.api(account, "costs/", tenant=account["tenant"], start=day, end=day)
        return day_at(datetime.now(UTC), answer["timezone"])

    def openai(self, key: str | None = None) -> openai.OpenAI:
        """The official client for our gateway, with the tour's key (or another)."""
        return openai.OpenAI(base_url=self.installation["gateway"], api_key=key or self.secret, max_retries=0)

    def api(self, account: dict[str, Any], path: str, **params: str) -> Any:
        """GET from the HTTP API with the account's token; returns JSON with exact numbers."""
        browser = Browser(self.console)
        browser.session.headers["Authorization"] = f"Bearer {account['token']}"
        response = browser.session.get(f"{self.console}/api/v1/{path}", params=params, timeout=20)
        expect(
            response.status_code == 200,
            f"GET {response.url} answered {response.status_code}: {response.text[:300]}",
        )
        return response.json(parse_float=Decimal)


def expect(condition: bool, otherwise: str) -> None:
    """Raise Difference with the message `otherwise` unless the condition is true."""
    if not condition:
        raise Difference(otherwise)


def wait_for(look: Callable[[], T | None], what: str, seconds: float) -> T:
    """Call `look` until it returns something, for at most `seconds`. Raises Difference naming `what` otherwise."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        expect(time.monotonic() < deadline, f"{what}: nothing after {seconds:g} s.")
        time.sleep(0.1)

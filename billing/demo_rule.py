"""How the demo spreads real traces over three tenants, nine projects, five models and the last months.

The traces name no tenant and no model and cover an hour or a day. The rule derives everything below from the SHA-256
of a call's line, or of its client's name if the trace has clients. So the same file gives the same demo everywhere:

- **project**: bytes 0-1 of the client's digest (of the line's, without clients) pick one of nine.
- **model**: bytes 2-3 of the same digest pick one of five; every fifth call (byte 4 of the line's) uses the
  project's second model instead, so that projects mix.
- **day**: bytes 5-12 of the line's digest pick a day from the first of the third month before `until` up to the day
  of `until`. Weekdays have weight 10, weekend days 3. Weights grow by up to one half toward the end.
- **time of day**: the call's position in the trace, which is stretched to one whole day. A call that would come
  after `until` moves to one week earlier.

Token counts are those of the trace, unchanged.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Final

from billing.traces import TraceRow

DEMO_MODELS: Final = (
    "gpt-oss-120b",
    "deepseek-r1",
    "llama-3.3-70b-instruct",
    "qwen3-235b-a22b",
    "gpt-4o-mini",
)
DAY: Final = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class DemoTenant:
    slug: str
    name: str
    timezone: str
    projects: tuple[tuple[str, str, str], ...]  # slug, name, cost center


DEMO_TENANTS: Final = (
    DemoTenant(
        "aurora-bank", "Aurora Bank", "Europe/Berlin",
        (("customer-letters", "Customer letters", "CC-4100"),
         ("fraud-review", "Fraud review", "CC-4200"),
         ("developer-tools", "Developer tools", "CC-1900")),
    ),
    DemoTenant(
        "helios-retail", "Helios Retail", "America/New_York",
        (("product-search", "Product search", "R-210"),
         ("store-support", "Store support", "R-220"),
         ("catalog-texts", "Catalog texts", "R-230")),
    ),
    DemoTenant(
        "vita-clinic", "Vita Clinic", "Europe/Zurich",
        (("discharge-letters", "Discharge letters", "K-01"),
         ("coding-desk", "Coding desk", "K-02"),
         ("literature", "Literature", "K-07")),
    ),
)  # fmt: skip
DEMO_PROJECTS: Final = tuple(
    (tenant.slug, project) for tenant in DEMO_TENANTS for project, _, _ in tenant.projects
)


class DemoRule:
    """Assigns each call of a trace to a tenant, project, model and time of the demo."""

    def __init__(self, *, until: datetime, first_moment: int, last_moment: int) -> None:
        self.until = until.astimezone(UTC)
        self.first_moment = first_moment
        self.span = last_moment - first_moment + 1
        month = self.until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        for _ in range(3):
            month = (month - timedelta(days=1)).replace(day=1)
        self.start = month
        days = (self.until - month).days + 1
        weights = [
            (3 if (month + timedelta(days=n)).weekday() >= 5 else 10) * (2 * days + n) for n in range(days)
        ]
        self.steps = list(accumulate(weights))

    def place(self, row: TraceRow) -> tuple[str, str, str]:
        """The tenant's slug, the project's slug and the model's name for a call."""
        digest = _digest(row.client) if row.client else row.digest
        project = int.from_bytes(digest[0:2], "big") % len(DEMO_PROJECTS)
        model = int.from_bytes(digest[2:4], "big")
        if row.digest[4] % 5 == 0:
            model = project + 1
        return *DEMO_PROJECTS[project], DEMO_MODELS[model % len(DEMO_MODELS)]

    def moment(self, row: TraceRow) -> datetime:
        """When the call arrives in the demo."""
        drawn = int.from_bytes(row.digest[5:13], "big") % self.steps[-1]
        at = self.start + timedelta(
            days=bisect_right(self.steps, drawn),
            microseconds=(row.moment - self.first_moment) * DAY // self.span,
        )
        return at if at <= self.until else at - timedelta(days=7)


@lru_cache(maxsize=4096)
def _digest(client: str) -> bytes:
    return hashlib.sha256(client.encode()).digest()

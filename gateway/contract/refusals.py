"""What gateways report of calls that they refused: how many a minute, which limit refused, and a few samples.

`POST /internal/v1/refusals`
    Body `RefusalBatch`; 204 after the commit. Only in version 2 of the contract. Safe to repeat: a report is identified
    by its `report_id`. 400, 413 or 422 mean that the batch can never succeed, and the gateway drops it.

The numbers are best effort. A gateway keeps reports in memory only, so those of its last minute are lost when it is
killed, and it drops what is beyond its bounds, which `dropped` counts. Calls without a valid key belong to nobody: only
the metrics count them. Nothing of a prompt or of a secret is in a report.
"""

from typing import Annotated

import msgspec

from gateway.contract.config import LimitScope
from gateway.contract.messages import Count, OpenMessage

REFUSALS_PATH = "/internal/v1/refusals"
MAX_REPORTS = 500  # in one batch
MAX_SAMPLES = 3  # in one report

Code = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,59}\Z")]
# Empty: the call named no model that could be one, or was refused before its body was read.
ModelName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:/@+-]{0,200}\Z")]
Uuid = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
]


class RefusingLimit(OpenMessage, frozen=True, omit_defaults=True):
    """The limit that refused, as it was then."""

    id: Uuid
    scope: LimitScope
    # The id of the tenant, project or key that it is set on.
    scope_id: Uuid
    kind: Annotated[str, msgspec.Meta(max_length=40)]
    # Calls, tokens, or nano-units of the tenant's currency.
    value: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    # None: it is on all models together.
    model: ModelName | None = None


class RefusedSample(OpenMessage, frozen=True):
    """One of the refused calls; its id is in the answer's `x-request-id`."""

    call_id: Uuid
    at: Count  # whole seconds since 1970


class RefusedReport(OpenMessage, frozen=True, omit_defaults=True):
    """Calls of one key that were refused alike within one minute."""

    report_id: Uuid
    # Its first second, a multiple of 60.
    minute: Annotated[int, msgspec.Meta(ge=0, le=2**40, multiple_of=60)]
    key_id: Uuid
    status: Annotated[int, msgspec.Meta(ge=400, le=599)]
    code: Code
    count: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    model: ModelName = ""
    limit: RefusingLimit | None = None
    samples: Annotated[list[RefusedSample], msgspec.Meta(max_length=MAX_SAMPLES)] = []


class RefusalBatch(OpenMessage, frozen=True):
    """Reports of minutes that are over, and how many refused calls no report counts."""

    reports: Annotated[list[RefusedReport], msgspec.Meta(max_length=MAX_REPORTS)]
    dropped: Count = 0

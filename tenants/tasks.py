"""Work on people and tenants that a message or a clock starts. Tasks carry ids and hold no rules."""

from __future__ import annotations

from tenants.oidc.tasks import SCHEDULE as PROVIDER_SCHEDULE

SCHEDULE = {**PROVIDER_SCHEDULE}

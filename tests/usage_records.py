"""Usage records for tests, which name kinds as if they were fields: `usage_record(…, input=7)`."""

from billing.kinds import DECLARED, Unit
from billing.usage import UsageRecord

TOKEN_KINDS = tuple(str(one.kind) for one in DECLARED if one.unit == Unit.TOKEN)
KINDS = tuple(str(one.kind) for one in DECLARED)


def usage_record(*values, usage=None, **fields):
    """A record with these fields; kinds of usage among them go to its `usage`, without zeros."""
    counts = {kind: fields.pop(kind) for kind in KINDS if kind in fields}
    used = {kind: count for kind, count in counts.items() if count != 0}
    return UsageRecord(*values, usage={**(usage or {}), **used}, **fields)


def counted(kind, usage="sum(usage)"):
    """SQL for the count of a kind in packed usage."""
    return f"usage_count({usage}, '{kind}')"

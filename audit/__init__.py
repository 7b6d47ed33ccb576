"""The audit log: one function that every action calls, in the transaction of its action (docs/audit.md).

    audit.record("limits.set", actor=by, subject=project, changes={"tokens_per_day": (before, after)})

The other modules of this package write checkpoints, verify them, and let old entries and erased words go.
"""

from audit.recording import acting, difference, record, record_of_tenants

__all__ = ["acting", "difference", "record", "record_of_tenants"]

"""The audit log: every action calls one function, in its own transaction (docs/audit.md).

    audit.record("limits.set", actor=by, subject=project, changes={"tokens_per_day": (before, after)})

The other modules of this package write checkpoints, verify them, delete old entries, and erase words.
"""

from audit.recording import acting, difference, listen, record, record_each, record_of_tenants

__all__ = ["acting", "difference", "listen", "record", "record_each", "record_of_tenants"]

"""Signals about people, for the apps above, which accounts does not know by name.

Receivers run inside the transaction of the action; an exception of theirs rolls it back. They connect in their
AppConfig.ready.
"""

from __future__ import annotations

from django.dispatch import Signal

# Arguments: user, reason, by. The user already has the staff roles that they will have after the commit.
staff_roles_changed = Signal()

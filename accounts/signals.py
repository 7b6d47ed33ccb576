"""What becomes of people, for the apps above, which accounts does not know by name.

Receivers run inside the transaction of the action; what they raise undoes it. They connect in their AppConfig.ready.
"""

from __future__ import annotations

from django.dispatch import Signal

# User, reason, by: their staff roles are as they will be after the commit.
staff_roles_changed = Signal()

"""Signals about prices, for the apps above, which billing does not know by name.

Receivers run inside the transaction that publishes; an exception of theirs rolls it back. They connect in their
AppConfig.ready.
"""

from __future__ import annotations

from django.dispatch import Signal

# Arguments: models, the public names whose price lists have changed.
prices_published = Signal()

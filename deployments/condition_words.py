"""What the conditions of deployments are called. Clusters report codes; pages say them in the reader's language."""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import pgettext_lazy

from deployments.cluster.base import ConditionType
from deployments.observation import ACCEPTED, DRIFT_HEALED, REACHABLE

TYPES: Final[dict[str, str | Promise]] = {
    ConditionType.AVAILABLE: pgettext_lazy("condition", "Available"),
    ConditionType.PROGRESSING: pgettext_lazy("condition", "Progressing"),
    ConditionType.TERMINATING: pgettext_lazy("condition", "Terminating"),
    ConditionType.UNSCHEDULABLE: pgettext_lazy("condition", "Unschedulable"),
    ConditionType.QUOTA_EXCEEDED: pgettext_lazy("condition", "Quota exceeded"),
    ConditionType.IMAGE_PULL: pgettext_lazy("condition", "Image not pulled"),
    ConditionType.CRASHING: pgettext_lazy("condition", "Crashing"),
    ConditionType.CANNOT_START: pgettext_lazy("condition", "Cannot start"),
    ConditionType.STALLED: pgettext_lazy("condition", "Stalled"),
    ACCEPTED: pgettext_lazy("condition", "Accepted"),
    REACHABLE: pgettext_lazy("condition", "Reachable"),
    DRIFT_HEALED: pgettext_lazy("condition", "Drift reverted"),
}

STATUSES: Final[dict[str, str | Promise]] = {
    "True": pgettext_lazy("condition", "yes"),
    "False": pgettext_lazy("condition", "no"),
    "Unknown": pgettext_lazy("condition", "unknown"),
}


def type_in_words(code: str) -> str:
    """What a type of condition is called; the code itself if only the cluster knows it."""
    return str(TYPES.get(code, code))


def status_in_words(code: str) -> str:
    """Whether a condition holds: yes, no or unknown."""
    return str(STATUSES.get(code, code))

"""What gateways count since they started, in words for the page of a gateway."""

from __future__ import annotations

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

_WORDS: Final[dict[str, Promise]] = {
    "requests": gettext_lazy("Calls"),
    "ok": gettext_lazy("Answered"),
    "error": gettext_lazy("Failed"),
    "cancelled": gettext_lazy("Canceled by the client"),
    "refused": gettext_lazy("Refused"),
    "tokens": pgettext_lazy("of models", "Tokens"),
    "active": gettext_lazy("In progress now"),
    "backends_ejected": gettext_lazy("Targets that get no calls now, because they failed"),
}
_OF_TENANT, _OF_REASON = "refused of ", "refused "


def counter_in_words(name: str) -> str:
    """A counter of an acknowledgement as people read it; one that this console does not know, as the gateway named it.

    "refused of aurora-bank" counts a tenant's calls, "refused rate_limit_exceeded" those of one reason.
    """
    if name in _WORDS:
        return str(_WORDS[name])
    if name.startswith(_OF_TENANT):
        return _("Refused, of tenant %(tenant)s") % {"tenant": name.removeprefix(_OF_TENANT)}
    if name.startswith(_OF_REASON):
        return _("Refused, %(reason)s") % {"reason": name.removeprefix(_OF_REASON)}
    return name

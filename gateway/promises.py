"""What a kind of gateway cannot promise, in words for its page and the API. docs/litellm.md has the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

KINDS: Final[dict[str, Promise]] = {
    "": _("Quartermaster gateway"),
    "litellm": _("LiteLLM proxy with the Quartermaster plugin"),
}
_NOT_PROMISED: Final[dict[str, Sequence[Promise]]] = {
    "litellm": (
        _("LiteLLM may call a target several times for one call. The ledger has one call, with the last answer."),
        _("Of a route, only weights and order hold. LiteLLM's own settings decide about retries, probes and sessions."),
        _("Its calls do not count against our quotas at providers, and no used-up quota keeps a call from a provider."),
        _(
            "A client that hangs up before a plain answer is billed for the whole answer. LiteLLM completes it anyway."
        ),
        _(
            "A call that was in progress when LiteLLM was killed is recorded as canceled, with an estimated prompt "
            "and no output."
        ),
        _(
            "LiteLLM connects to providers itself, without our checks of private addresses. Targets that need a "
            "private CA or a proxy get no calls."
        ),
        _("LiteLLM keeps providers' credentials in clear text in its memory and may show them in its own debug log."),
        _("Errors are in LiteLLM's words and may name providers and their models."),
        _("Only chat, embeddings and the list of models are answered. All other paths of LiteLLM are closed."),
        _("One process uses one state directory, so LiteLLM must run with one worker."),
    )
}  # fmt: skip


def kind_of(report: dict[str, object]) -> Promise | str:
    """What a gateway is, from its last report."""
    kind = str(report.get("kind", ""))
    return KINDS.get(kind, kind)


def not_promised(report: dict[str, object]) -> Sequence[Promise]:
    """What this gateway cannot promise, each a sentence; empty for our own."""
    return _NOT_PROMISED.get(str(report.get("kind", "")), ())

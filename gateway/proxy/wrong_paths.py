"""Say which path is right. Nothing that arrives elsewhere is passed on, so nothing passes unmetered."""

from collections.abc import Collection

from gateway.proxy.errors import Refusal
from gateway.proxy.head import MESSAGES_PATH, shown

MODELS_PATH = "/v1/models"
# In a path, between the name of a model and what clients of other APIs call.
_VERSION = "/v1"


def require_method(method: str, path: str, allowed: str) -> None:
    """Raises Refusal (405), with the right method in `Allow`. Where GET is allowed, so is HEAD."""
    if method == allowed or (allowed == "GET" and method == "HEAD"):
        return
    methods = "GET, HEAD" if allowed == "GET" else allowed
    raise Refusal(
        405,
        "method_not_allowed",
        f"Not allowed to {method} on {shown(path)}: use {allowed}.",
        headers={"allow": methods},
    )


def unknown_path(method: str, path: str, known: Collection[str]) -> Refusal:
    """404 for a path that is not one of `known`, naming the one that was probably meant."""
    advice = _advice(path, known) or f"This gateway knows {', '.join(known)} and {MODELS_PATH}."
    return Refusal(404, "unknown_url", f"Unknown request URL: {method} {shown(path)}. {advice}")


def _advice(path: str, known: Collection[str]) -> str:
    bare = path.rstrip("/")
    if bare in known:
        return f"Leave out the slash at its end: {bare}."
    # The longest first: `/chat/completions` before `/completions`.
    for right in sorted([*known, MODELS_PATH], key=len, reverse=True):
        if bare.endswith(right.removeprefix(_VERSION)):
            return f"{_base_url(right)} Use {right}."
    if bare.startswith("/models/"):
        return f"{_base_url(MODELS_PATH)} Use {_VERSION}{shown(bare)}."
    return ""


def _base_url(right: str) -> str:
    """What to give a client as its base URL so that it calls this path."""
    if right.startswith(MESSAGES_PATH):
        return "The base URL for Anthropic's clients is this gateway's address without a path."
    return f"The base URL for OpenAI's clients is this gateway's address with {_VERSION} at its end."

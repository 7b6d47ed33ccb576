"""OpenAI's x-ratelimit headers: how much is left of the tightest limits per minute on requests and on tokens."""

from typing import Final

# What is left of a limit, its value, and the seconds until its oldest call leaves the minute. The least is tightest.
Rate = tuple[int, int, float]

_OF_REQUESTS, _OF_TOKENS = (
    tuple(f"x-ratelimit-{what}-{noun}" for what in ("remaining", "limit", "reset"))
    for noun in ("requests", "tokens")
)
_OF_BOTH: Final = _OF_REQUESTS + _OF_TOKENS
_VALUES: Final = "%d %d %.3fs"
_BOTH_VALUES: Final = f"{_VALUES} {_VALUES}"


def rate_headers(requests: Rate | None, tokens: Rate | None) -> dict[str, str]:
    """The headers. None: no such limit applies."""
    if requests is not None and tokens is not None:
        return dict(zip(_OF_BOTH, (_BOTH_VALUES % (*requests, *tokens)).split(), strict=True))
    if requests is not None:
        return dict(zip(_OF_REQUESTS, (_VALUES % requests).split(), strict=True))
    if tokens is not None:
        return dict(zip(_OF_TOKENS, (_VALUES % tokens).split(), strict=True))
    return {}

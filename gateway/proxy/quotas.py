"""What providers allow us, as limits that the same limiter counts as those of keys."""

from dataclasses import dataclass

from gateway.contract import LimitConfig, LimitKind, TargetConfig


@dataclass(frozen=True, slots=True)
class Quota:
    """Our quota at one provider."""

    # Under which gateways count together, in place of a tenant.
    owner: str
    limits: tuple[LimitConfig, ...]
    # A call reserves no more than this, so that none is too large: what calls may use is an upper estimate, and the
    # provider itself knows better.
    most_tokens: int


def quota_of(target: TargetConfig) -> Quota | None:
    """The quota of a target's provider; None if it has no provider, or none is known."""
    config = target.provider.quota if target.provider else None
    if config is None:
        return None
    owner = f"quota:{config.id}"
    values: dict[LimitKind, int | None] = {
        "requests_per_minute": config.requests_per_minute,
        "tokens_per_minute": config.tokens_per_minute,
    }
    limits = tuple(
        LimitConfig(id=owner, scope="tenant", scope_id=owner, kind=kind, value=value)
        for kind, value in values.items()
        if value is not None
    )
    return Quota(owner, limits, config.tokens_per_minute or 0) if limits else None

"""Which region lies in which. Regions are names such as `eu` and `eu-central-1`; the gateway uses this file too."""

from collections.abc import Collection


def lies_in(region: str, allowed: str) -> bool:
    """Whether `region` is `allowed`, or a part of it: a name that continues after a hyphen (`eu-west-1` in `eu`)."""
    return region == allowed or region.startswith(f"{allowed}-")


def is_allowed(region: str, allowed: Collection[str]) -> bool:
    """Whether `region` lies in one of `allowed`; empty allows all. An unknown region ("") lies nowhere."""
    return not allowed or any(lies_in(region, one) for one in allowed)

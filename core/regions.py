"""Which region lies in which. Regions are names such as `eu` and `eu-central-1`; the gateway uses this file too."""

from collections.abc import Collection, Sequence


def lies_in(region: str, allowed: str) -> bool:
    """Whether `region` is `allowed`, or a part of it: a name that continues after a hyphen (`eu-west-1` in `eu`)."""
    return region == allowed or region.startswith(f"{allowed}-")


def is_allowed(region: str, allowed: Collection[str]) -> bool:
    """Whether `region` lies in one of `allowed`; empty allows all. An unknown region ("") lies nowhere."""
    return not allowed or any(lies_in(region, one) for one in allowed)


def distance(regions: Collection[str], here: str, order: Sequence[str]) -> int:
    """How far from `here` something in `regions` is: 0 here, 1 in the first region of `order`, and so on.

    Whatever lies nowhere of these comes after the last. Something in several regions is as far as its farthest, and
    something of an unknown place is as far as can be. An empty `here` is nowhere.
    """
    places = [here, *order]

    def steps(region: str) -> int:
        found = (at for at, place in enumerate(places) if place and lies_in(region, place))
        return next(found, len(places))

    return max(map(steps, regions), default=len(places))

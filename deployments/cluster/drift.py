"""What someone else changed in the cluster: the fields of a manifest whose values differed there."""

from collections.abc import Iterator, Sequence
from typing import Any

from deployments.cluster.base import DIGEST_ANNOTATION, GENERATION_ANNOTATION, Manifest

# At most this many fields are named; the rest are counted.
_MOST = 5
_LONGEST = 60  # characters of a value


def is_same_spec(before: Manifest | None, wanted: Manifest) -> bool:
    """Whether `before` was made from the same generation and specification as `wanted`."""
    if before is None:
        return False
    ours, theirs = (each["metadata"].get("annotations") or {} for each in (wanted, before))
    return all(theirs.get(name) == ours.get(name) for name in (GENERATION_ANNOTATION, DIGEST_ANNOTATION))


def put_back(wanted: Sequence[Manifest], before: Sequence[Manifest]) -> tuple[str, ...]:
    """The fields of `wanted` that differed in `before`, as "Deployment spec.replicas: 5 → 1".

    An object that is not in `before` was deleted. Fields that `wanted` does not name are ignored.
    """
    held = {each["kind"]: each for each in before}
    found: list[str] = []
    for manifest in wanted:
        kind = manifest["kind"]
        if kind not in held:
            found.append(f"{kind}: deleted, created again")
        else:
            found += [f"{kind} {words}" for words in _differences(manifest, held[kind], "")]
    more = len(found) - _MOST
    return (*found[:_MOST], f"and {more} more") if more > 0 else tuple(found)


def _differences(wanted: Any, held: Any, path: str) -> Iterator[str]:
    if isinstance(wanted, dict) and isinstance(held, dict):
        for name, value in wanted.items():
            yield from _differences(value, held.get(name), f"{path}.{name}" if path else name)
    elif isinstance(wanted, list) and isinstance(held, list) and len(wanted) == len(held):
        for number, (value, other) in enumerate(zip(wanted, held, strict=True)):
            yield from _differences(value, other, f"{path}[{number}]")
    elif wanted != held:
        is_shown = (
            ".env" not in path and not isinstance(wanted, dict | list) and not isinstance(held, dict | list)
        )
        yield f"{path}: {_short(held)} → {_short(wanted)}" if is_shown else path


def _short(value: Any) -> str:
    text = "nothing" if value is None else " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

"""Request sequences as data: what a directory sends, step by step, and what it must be answered.

`{name}` in a path, body or expectation is replaced by what an earlier step remembered under that name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Step:
    """One request. `expect` maps paths into the answer ("emails.0.value") to values; ... means: something there."""

    says: str
    method: str
    path: str
    body: Any = None
    status: int = 200
    expect: dict[str, Any] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    remember: dict[str, str] = field(default_factory=dict)


def play(directory, steps, **known):
    """Send every step and hold its answer against what is expected; what was remembered on the way."""
    for step in steps:
        answer = directory(step.method, fill(step.path, known), fill(step.body, known))
        where = (
            f"{step.says}: {step.method} {step.path} answered {answer.status_code} {answer.content[:600]!r}"
        )
        assert answer.status_code == step.status, where
        body = answer.json() if answer.content else {}
        for path, wanted in step.expect.items():
            found = look(body, path)
            assert found is not None if wanted is ... else found == fill(wanted, known), f"{path} in {where}"
        for path in step.absent:
            assert look(body, path) is None, f"{path} in {where}"
        known |= {name: look(body, path) for name, path in step.remember.items()}
    return known


def look(body, path):
    """What stands at a path such as "Resources.0.name.familyName"; None where there is nothing."""
    for part in path.split("."):
        if isinstance(body, list):
            body = body[int(part)] if int(part) < len(body) else None
        elif isinstance(body, dict):
            body = body.get(part)
        else:
            return None
    return body


def fill(value, known):
    """`value` with every {name} replaced; the braces of JSON are not touched."""
    if isinstance(value, str):
        for name, text in known.items():
            value = value.replace("{" + name + "}", str(text))
        return value
    if isinstance(value, list):
        return [fill(item, known) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, known) for key, item in value.items()}
    return value

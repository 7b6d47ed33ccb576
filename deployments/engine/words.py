"""The demo engine's text and vectors: functions of the prompt and of nothing else."""

import hashlib
import math
import random
from collections.abc import Sequence
from functools import lru_cache

from deployments.engine.tokens import tokenize

_OPENING = "I am Quartermaster's demo engine, not a language model, so I cannot answer you. "
_SENTENCES = (
    "A call that reaches me through the gateway has passed a key, its limits, a route and a meter.",
    "The tokens of this sentence are counted by a rule that fits in one line.",
    "Ask me the same thing again and you will read the same words.",
    "A real model would stand exactly where I stand, behind the same gateway.",
    "What you asked stays here; I keep only the hashes of its first blocks.",
    "What the gateway counts here, the ledger prices to the last digit.",
    "Ask me something else and the sentences change their order.",
    "I was started by a deployment and I stop when it is scaled to nothing.",
    "When I fail, I fail on purpose, so that others can show how they recover.",
)


def answer(model: str, prompt: Sequence[str]) -> list[str]:
    """The answer to a prompt, as tokens: what this engine is, then five sentences in an order set by the prompt."""
    seed = hashlib.sha256("\x00".join((model, *prompt)).encode()).digest()
    shuffle = random.Random(seed)  # noqa: S311  variety, not secrecy
    return tokenize(_OPENING + " ".join(shuffle.sample(_SENTENCES, 5)))


def cut_at_stop(tokens: Sequence[str], stops: Sequence[str]) -> tuple[list[str], bool]:
    """The tokens up to the first stop sequence (which is left out), and whether there was one."""
    text = "".join(tokens)
    ends = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    if not ends:
        return list(tokens), False
    return tokenize(text[: min(ends)]), True


def embedding(model: str, tokens: Sequence[str], dimensions: int) -> list[float]:
    """A unit vector of the text: each token adds its own direction, so texts that share words are near."""
    vector = [0.0] * dimensions
    for token in tokens:
        for position, part in enumerate(_direction(model, token.strip().lower(), dimensions)):
            vector[position] += part
    length = math.sqrt(sum(part * part for part in vector)) or 1.0
    return [part / length for part in vector]


@lru_cache(maxsize=4096)
def _direction(model: str, word: str, dimensions: int) -> tuple[float, ...]:
    seed = hashlib.blake2b(f"{model}\x00{word}".encode(), digest_size=16).digest()
    dice = random.Random(seed)  # noqa: S311
    return tuple(dice.gauss(0.0, 1.0) for _ in range(dimensions))

"""How the demo engine counts: a tokenizer that takes one line to describe, and a prefix cache that really caches.

A token is up to four word characters, or one other character that is not white space. Either may include one
white-space character in front of it; each white-space character left over is a token. Joined tokens give the text.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence

_TOKEN = re.compile(r"\s?\w{1,4}|\s?[^\w\s]|\s")
# Tokens in a block; only whole blocks are cached.
_BLOCK = 16


def tokenize(text: str) -> list[str]:
    """Cut a text into tokens. `"".join(tokenize(text)) == text`."""
    return _TOKEN.findall(text)


def prompt_tokens(messages: Sequence[tuple[str, str]]) -> list[str]:
    """The tokens of a chat prompt of (role, text): one for each role, and one for the start of the answer."""
    tokens: list[str] = []
    for role, text in messages:
        tokens.append(f"<{role}>")
        tokens.extend(tokenize(text))
    tokens.append("<assistant>")
    return tokens


class PrefixCache:
    """Remembers the beginnings of prompts, like a serving engine's key-value cache, and drops the least recently
    used first.

    A prompt is cut into blocks of 16 tokens. A block counts as cached if a call with the same salt has brought it
    before *with everything in front of it*. A call never finds what another salt brought in.
    """

    def __init__(self, max_blocks: int = 4096) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()
        self._max_blocks = max_blocks

    def match_and_store(self, tokens: Sequence[str], salt: str = "") -> int:
        """The number of leading tokens that were in the cache; afterwards, the whole prompt is in it."""
        cached, unbroken = 0, True
        chain = (
            hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=16).digest() if salt else b""
        )
        for start in range(0, len(tokens) - _BLOCK + 1, _BLOCK):
            block = "\x00".join(tokens[start : start + _BLOCK])
            chain = hashlib.blake2b(chain + block.encode(), digest_size=16).digest()
            unbroken = unbroken and chain in self._blocks
            if unbroken:
                cached += _BLOCK
            self._blocks[chain] = None
            self._blocks.move_to_end(chain)
        while len(self._blocks) > self._max_blocks:
            self._blocks.popitem(last=False)
        return cached

"""What is known of one target under one public name: what nobody may see of it, and what its answers are like.

Nothing of this comes from a caller, and no other target shares it.
"""

from functools import lru_cache

import orjson

from gateway.proxy.alike_answers import AlikeAnswers
from gateway.proxy.answer_members import PLAIN_ID
from gateway.proxy.index import Backend
from gateway.proxy.scrub import scrubber_for


class KnownTarget:
    """One address of a target that serves a model."""

    __slots__ = ("_own", "answers", "model", "scrubber", "upstream_names")

    def __init__(self, upstream_model: str, url: str, public_name: str) -> None:
        # The public name in JSON.
        self.model = orjson.dumps(public_name)
        # What it calls the model, if that is another name.
        self.upstream_names = frozenset((upstream_model,)) - {public_name}
        # Removes its names from a sentence.
        self.scrubber = scrubber_for(upstream_model, url, public_name)
        own = upstream_model.rsplit("/", 1)[-1].lower().encode()
        # The part of its name that no id may contain. No plain id contains "/".
        self._own = b"/" if len(own) < 4 or own in public_name.lower().encode() else own
        self.answers = AlikeAnswers(self.may_show_id)

    def may_show_id(self, value: bytes) -> bool:
        """Whether an answer's id, without quotation marks, can name neither a host, nor a path, nor a model."""
        return (
            PLAIN_ID.fullmatch(value) is not None
            and value.lower().find(self._own) < 0
            and not self.scrubber.could_name_host(value.decode())
        )


def known_target(backend: Backend, public_name: str) -> KnownTarget:
    """What is known of a backend: made at its first call, and kept while it is among the latest ones."""
    return _known(backend.config.upstream_model, backend.url, public_name)


_known = lru_cache(maxsize=1024)(KnownTarget)

"""Make a backend's sentence fit for clients: one line, bounded, without our names, addresses and paths."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from gateway.proxy.index import Backend
from gateway.proxy.places import FORMS, HOST, IN_MEMBERS, IPV4, IPV6, URL, labels_of, names_a_host

LONGEST_SENTENCE = 500
# Characters of a message; the rest is ignored.
_LONGEST_READ = 1200

_TRACE = re.compile(
    r"Traceback \(most recent call last\).*"
    r"|(?:\s|\\n)+File \"[^\"]*\", line \d+.*"
    r"|(?:\s|\\n)+at [\w$.<>/]+\([^)\n]*\).*"
    r"|(?:\s|\\n)stack backtrace:.*|(?:\s|\\n)goroutine \d+ \[.*",
    re.DOTALL,
)
# Text that a proxy between us and a model adds: the name of a provider, and of its groups.
_PROXY = re.compile(
    r"\blitellm\.\w+:\s*(?:(?:\w+Exception|\w+Error)(?:\s*:|\s*-)?\s*)*(?=\S)"
    r"|\s*Received Model Group=.*|\s*Available Model Group Fallbacks=.*"
    r"|(?<=\bprovider) \([^()\n]{1,60}\)",
    re.DOTALL,
)
_SECRET = re.compile(
    r"\b(?:Bearer|Basic)\s+[\w.~+/=*-]{6,}"
    r"|(?<![\w-])(?:sk|pk|rk|hf|gsk|xai|nvapi|AIza|AKIA|qm|qmg|qmp|qms|key|token)[-_]?[A-Za-z0-9_*-]*[0-9*][A-Za-z0-9_*-]{5,}",
)
# A machine in an id: `gpu-node-7-123`, `worker10_4`.
_MACHINE = re.compile(
    r"(?<![a-z0-9])(?:gpu|node|pod|worker|host|server|rack|replica|engine|instance|backend|vm|ip)[-_]?\d",
    re.IGNORECASE,
)
_WORD = re.compile(r"\S+")
# Shorter secrets are only removed whole; so many characters of a longer one, in a row, give it away.
_SHORTEST_WITH_RUNS = 20
_RUN = 10
_MARK = "[…]"
_NEVER_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+|\s+")
_MARKS = re.compile(r"(?:\[…\][\s,:;/]*){2,}")


class Scrubber:
    """Removes the names of one backend from texts."""

    def __init__(self, upstream_model: str, url: str, public_name: str) -> None:
        self._public_name = public_name
        own = {upstream_model, upstream_model.rsplit("/", 1)[-1]} - {"", public_name}
        names = "|".join(map(_spelled, sorted(own, key=len, reverse=True)))
        # This also covers a dated or quantized variant of the name.
        self._own = (
            re.compile(rf"(?<!\w)(?:[\w.-]+/)*(?:{names})(?:[-:@._/]\w[\w.:@/-]*)?(?!\w)", re.IGNORECASE)
            if own
            else None
        )
        places = {part for part in (urlsplit(url).hostname, urlsplit(url).netloc) if part}
        hosts = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
        labels = labels_of(urlsplit(url).hostname or "")
        telling = "|".join(re.escape(label) for label in labels if names_a_host(label))
        parts = [rf"(?<![\w.-])(?:{hosts})(?::\d+)?(?![\w-])"] if hosts else []
        if telling:
            parts.append(rf"(?<![a-z0-9])(?:{telling})(?![a-z0-9])[\w.-]*(?::\d+)?")
        self._places = re.compile("|".join(parts), re.IGNORECASE) if parts else None
        either = "|".join(map(re.escape, labels))
        self._labels = (
            re.compile(rf"(?<![a-z0-9])(?:{either})(?![a-z0-9])", re.IGNORECASE) if labels else None
        )

    def sentence(self, text: str, *, secrets: tuple[str, ...] = ()) -> str:
        """`text` in one line of at most 500 characters; empty if none of it may be shown.

        `secrets` are texts that we added to the call ourselves.
        """
        # First: half of a secret would not be recognized.
        for secret in secrets:
            text = text.replace(secret, _MARK)
        text = text[:_LONGEST_READ]
        for secret in secrets:
            text = _without_runs(text, secret)
        text = _PROXY.sub("", _TRACE.sub(" ", text))
        text = _NEVER_SHOWN.sub(" ", text).strip()
        text = _SECRET.sub(_MARK, text)
        text = URL.sub(_MARK, text)
        if self._own is not None:
            text = self._own.sub(lambda _: self._public_name, text)
        text = self._but_the_name(text)
        text = _MARKS.sub(_MARK + " ", text).strip()
        if not re.search(r"\w{3}", text.replace(self._public_name, "")):
            return ""
        return text if len(text) <= LONGEST_SENTENCE else text[: LONGEST_SENTENCE - 1].rstrip() + "…"

    def is_clean(self, text: str) -> bool:
        """Whether a text names neither this backend nor an address or path that could be ours."""
        if self._public_name:
            text = text.replace(self._public_name, "")
        if self._own is not None and self._own.search(text):
            return False
        patterns = (self._places, *IN_MEMBERS)
        return not any(pattern is not None and pattern.search(text) for pattern in patterns)

    def is_public(self, text: str) -> bool:
        """Whether a text about the web, such as a title or an address, names none of our hosts."""
        patterns = (self._places, *((IPV4, IPV6, HOST) if "://" in text[:20] else ()))
        return not any(pattern is not None and pattern.search(text) for pattern in patterns)

    def could_name_host(self, word: str) -> bool:
        """Whether an id contains a label of this backend's host, or something that looks like a machine's name."""
        return (self._labels is not None and self._labels.search(word) is not None) or (
            _MACHINE.search(word) is not None
        )

    def _but_the_name(self, text: str) -> str:
        """Remove places and ids from everything except the public name, which may look like one."""
        parts = text.split(self._public_name) if self._public_name else [text]
        return self._public_name.join(self._without_places(part) for part in parts)

    def _without_places(self, text: str) -> str:
        if self._places is not None:
            text = self._places.sub(_MARK, text)
        for pattern in FORMS:
            text = pattern.sub(_MARK, text)
        return text


def _without_runs(text: str, secret: str) -> str:
    """`text` without words that have a part of a long secret, in any case: some servers quote a key's beginning."""
    if len(secret) < _SHORTEST_WITH_RUNS:
        return text
    small, lower = secret.lower(), text.lower()
    runs = [small[start : start + _RUN] for start in range(len(small) - _RUN + 1)]
    if not any(run in lower for run in runs):
        return text
    return _WORD.sub(lambda word: _MARK if any(run in word[0].lower() for run in runs) else word[0], text)


def _spelled(name: str) -> str:
    """A pattern for a model's name, with any separator or none between its words."""
    return r"[-_ ]?".join(re.escape(word) for word in re.split(r"[-_ ]+", name) if word)


def scrubber_of(backend: Backend, public_name: str) -> Scrubber:
    """The scrubber of one backend; made at the first error, and kept."""
    return scrubber_for(backend.config.upstream_model, backend.url, public_name)


@lru_cache(maxsize=4096)
def scrubber_for(upstream_model: str, url: str, public_name: str) -> Scrubber:
    """The scrubber of a target at `url` that calls a model by another name."""
    return Scrubber(upstream_model, url, public_name)

"""A sentence of a backend made fit for clients: one line, bounded, without names, addresses and paths of ours."""

import re
from functools import lru_cache
from urllib.parse import urlsplit

from gateway.contract import BackendConfig

LONGEST_SENTENCE = 500
_LONGEST_READ = 1200  # characters of a message; what follows is not looked at

_TRACE = re.compile(
    r"Traceback \(most recent call last\).*"
    r"|(?:\s|\\n)+File \"[^\"]*\", line \d+.*"
    r"|(?:\s|\\n)+at [\w$.<>/]+\([^)\n]*\).*"
    r"|(?:\s|\\n)stack backtrace:.*|(?:\s|\\n)goroutine \d+ \[.*",
    re.DOTALL,
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>`)\]}]+", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?(?!\w|\.\d)")
_IPV6 = re.compile(
    r"\[(?:[0-9a-f]{0,4}:){2,7}[0-9a-f.]{0,15}(?:%\w+)?\](?::\d{1,5})?"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])"
    r"|(?<![\w:])(?:[0-9a-f]{1,4}:){0,6}(?:[0-9a-f]{1,4})?::(?:[0-9a-f]{1,4}:){0,6}[0-9a-f]{1,4}(?![\w:])",
    re.IGNORECASE,
)
_HOST = re.compile(
    r"(?<![\w.@-])(?:localhost(?::\d{1,5})?|(?:[a-z0-9_-]+\.)+(?:svc|internal|local|lan|intra|corp|cluster|localdomain|"
    r"home|private|consul)(?:\.[a-z0-9.-]+)?(?::\d{1,5})?|(?:[a-z0-9_-]+\.)+[a-z][a-z0-9_-]*:\d{2,5}|[a-z][a-z0-9-]*:\d{4,5}"
    r"|ip-\d+-\d+-\d+-\d+(?:\.[a-z0-9.-]+)?)(?![\w-])",
    re.IGNORECASE,
)
_PATH = re.compile(
    r"(?<![\w/.~-])(?:~|\.{1,2})?/(?:[\w.@+=~-]+/)+[\w.@+=~-]*"  # /srv/models/x, ~/x/y, ../x/y
    r"|(?<![\w/.~-])~?/[\w@+=~-]+\.[a-z]\w{0,11}(?!\w)"  # /model.gguf
    r"|(?<!\w)(?:[a-z]:\\|\\\\)[^\s\"'<>|()\]}]+"  # C:\models, \\server\share
    r"|(?<![\w/])[\w.@+-]+(?:/[\w.@+-]+)*\.(?:gguf|safetensors|pth?|onnx|engine|py|pyc|so|rs|cpp|cu|go)(?::\d+)?(?!\w)",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:Bearer|Basic)\s+[\w.~+/=*-]{6,}"
    r"|(?<![\w-])(?:sk|pk|rk|hf|gsk|xai|nvapi|AIza|AKIA|qm|qmg|qmp|qms|key|token)[-_]?[A-Za-z0-9_*-]*[0-9*][A-Za-z0-9_*-]{5,}",
)
_ID = re.compile(
    r"(?<![\w-])(?:chatcmpl|cmpl|embd|embeddings?|req|request|resp|run|org|proj|acct|acc|account|pod|worker|node|"
    r"engine|replica|conn|trace|span|call|id)[-_:][A-Za-z0-9_-]*\d[A-Za-z0-9_-]*"
    r"|(?<![\w-])[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?![\w-])"
    r"|(?<![\w-])[0-9a-f]{24,}(?![\w-])",
    re.IGNORECASE,
)
# Hosts by what a sentence says of them. Not used for members of answers: what they hold is no sentence.
_HOST_SAID = re.compile(
    r"(?<=\bhost=)['\"]?[\w.-]+['\"]?|(?<=\bhostname=)['\"]?[\w.-]+['\"]?"
    r"|(?:(?<=\bpod )|(?<=\bnode )|(?<=\bhost )|(?<=\bworker )|(?<=\bserver )|(?<=\breplica )|(?<=\bbackend )"
    r"|(?<=\bupstream )|(?<=\binstance )|(?<=\brunning on ))['\"]?(?=[\w.-]*\d)[a-z][\w.-]*\w['\"]?"
    r"|(?<![\w-])(?:gpu|node|pod|worker|server|rack|replica)-?\d+(?:\.[\w-]+)*(?!\w)"
    r"|(?<![\w.@/-])(?=[\w.-]*[a-z]-?\d|[\w.-]*\.(?:com|net|org|io|ai|dev|cloud)\b)"
    r"(?:[a-z0-9][a-z0-9-]*\.){2,}[a-z][a-z0-9-]*"
    r"(?::\d{1,5})?(?![\w\[(-]|\.\w)",
    re.IGNORECASE,
)
# A machine in an id: `gpu-node-7-123`, `worker10_4`.
_MACHINE = re.compile(
    r"(?<![a-z0-9])(?:gpu|node|pod|worker|host|server|rack|replica|engine|instance|backend|vm|ip)[-_]?\d",
    re.IGNORECASE,
)
_MARK = "[…]"
_NEVER_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+|\s+")
_MARKS = re.compile(r"(?:\[…\][\s,:;/]*){2,}")


class Scrubber:
    """Knows one backend, and takes it out of a text."""

    def __init__(self, upstream_model: str, url: str, public_name: str) -> None:
        self._public_name = public_name
        own = {upstream_model, upstream_model.rsplit("/", 1)[-1]} - {"", public_name}
        names = "|".join(re.escape(name) for name in sorted(own, key=len, reverse=True))
        # A dated or quantised variant of the name goes with it.
        self._own = (
            re.compile(rf"(?<!\w)(?:[\w.-]+/)*(?:{names})(?:[-:@._/]\w[\w.:@/-]*)?(?!\w)", re.IGNORECASE)
            if own
            else None
        )
        places = {part for part in (urlsplit(url).hostname, urlsplit(url).netloc) if part}
        hosts = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
        labels = _labels(urlsplit(url).hostname or "")
        # A label with a digit or a hyphen is no word of a sentence.
        telling = "|".join(re.escape(label) for label in labels if re.search(r"[\d-]", label))
        parts = [rf"(?<![\w.-])(?:{hosts})(?::\d+)?(?![\w-])"] if hosts else []
        if telling:
            parts.append(rf"(?<![a-z0-9])(?:{telling})(?![a-z0-9])[\w.-]*(?::\d+)?")
        self._places = re.compile("|".join(parts), re.IGNORECASE) if parts else None
        either = "|".join(map(re.escape, labels))
        self._labels = (
            re.compile(rf"(?<![a-z0-9])(?:{either})(?![a-z0-9])", re.IGNORECASE) if labels else None
        )

    def sentence(self, text: str, *, secrets: tuple[str, ...] = ()) -> str:
        """`text` in one line of at most 500 characters; empty if nothing of it may be said.

        `secrets` are texts that we added to the call ourselves.
        """
        text = text[:_LONGEST_READ]
        for secret in secrets:
            text = text.replace(secret, _MARK)
        text = _TRACE.sub(" ", text)
        text = _NEVER_SHOWN.sub(" ", text).strip()
        text = _SECRET.sub(_MARK, text)
        text = _URL.sub(_MARK, text)
        if self._own is not None:
            text = self._own.sub(lambda _: self._public_name, text)
        text = self._but_the_name(text)
        text = _MARKS.sub(_MARK + " ", text).strip()
        if not re.search(r"\w{3}", text.replace(self._public_name, "")):
            return ""
        return text if len(text) <= LONGEST_SENTENCE else text[: LONGEST_SENTENCE - 1].rstrip() + "…"

    def is_clean(self, text: str) -> bool:
        """Whether a text names neither this backend, nor an address or a path that could be of ours."""
        if self._public_name:
            text = text.replace(self._public_name, "")
        if self._own is not None and self._own.search(text):
            return False
        patterns = (self._places, _PATH, _IPV4, _IPV6, _HOST)
        return not any(pattern is not None and pattern.search(text) for pattern in patterns)

    def is_public(self, text: str) -> bool:
        """Whether a text about the web, a title or an address, names no host of ours."""
        patterns = (self._places, *((_IPV4, _IPV6, _HOST) if "://" in text[:20] else ()))
        return not any(pattern is not None and pattern.search(text) for pattern in patterns)

    def could_name_host(self, word: str) -> bool:
        """Whether an id holds a label of this backend's host, or what looks like a machine."""
        return (self._labels is not None and self._labels.search(word) is not None) or (
            _MACHINE.search(word) is not None
        )

    def _but_the_name(self, text: str) -> str:
        """Take places and ids out of everything but the public name, which may look like one."""
        parts = text.split(self._public_name) if self._public_name else [text]
        return self._public_name.join(self._without_places(part) for part in parts)

    def _without_places(self, text: str) -> str:
        if self._places is not None:
            text = self._places.sub(_MARK, text)
        for pattern in (_PATH, _IPV6, _IPV4, _HOST_SAID, _HOST, _ID):
            text = pattern.sub(_MARK, text)
        return text


def _labels(host: str) -> list[str]:
    """What a host's name is made of, longest first, without its top-level domain and what is too short to tell."""
    if ":" in host or re.fullmatch(r"[\d.]*", host):
        return []
    labels = host.split(".")
    told = labels[:-1] if len(labels) > 1 else labels
    return sorted({label for label in told if len(label) > 2}, key=len, reverse=True)


def scrubber_of(config: BackendConfig, public_name: str) -> Scrubber:
    """The scrubber of one backend; made at the first error, and kept."""
    return _scrubber(config.upstream_model, config.url, public_name)


@lru_cache(maxsize=4096)
def _scrubber(upstream_model: str, url: str, public_name: str) -> Scrubber:
    return Scrubber(upstream_model, url, public_name)

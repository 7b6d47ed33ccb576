"""Pictures, sounds and files in a call: an engine fetches URLs from inside our network.

So a URL must be `data:`, or http(s) to a host that operators allow. No call may make a server read one of its
own paths, a file stored there, or data that it remembers from another call.
"""

import ipaddress
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from deployments.engine_controls import fold, folded, names_medium
from gateway.proxy.body import Body, parse
from gateway.proxy.body_bounds import without_escapes
from gateway.proxy.errors import Refusal, bad_request

_MEDIA = (
    b"image img video audio file media document pdf attachment photo picture source url uri uuid embeds frame"
    b" connector"
).split()
# The most bytes of names that are remembered together.
_LONGEST_KNOWN = 256
# A text that may be a name or a type.
_NAME = re.compile(rb'"([A-Za-z0-9_-]++)(?=")')
_HIDDEN = re.compile(  # a needlessly escaped letter
    rb"\\u00(?:4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"
)
_LENGTH_HIDDEN = 6
# Bytes checked at a time; meanwhile no other thread can run.
_STRETCH = 64 * 1024
_ANY_TYPE = re.compile(r".*(?:image|img|video|audio|file|media|document|pdf)")
# Names of members with words about a medium, or a model's own words.
_WORDS = folded(
    """type detail format mimetype mediatype contenttype filename name title alt text caption role voice transcript
    index width height fps minpixels maxpixels resizedheight resizedwidth cachecontrol citations context
    nframes duration start end language"""
)
_NOT_LOOKED_INTO = folded(
    """toolcalls functioncall function arguments annotations logprobs reasoning reasoningcontent reasoningdetails
    parameters inputschema custom refusal cachecontrol citations"""
)
_STORED = folded("fileid fileids uuid uuids multimodaluuids mmuuids vectorstoreids containerid cacheid")
_ELSEWHERE = folded("server_url connector_id")
# Fields that are searched for media.
_IN_BODY = ("messages", "input", "prompt", "tools", "documents", "prediction")
# Of blocks in the Messages API: member and type of what no server fetches.
_WORDS_OF_MESSAGES = frozenset((
    ("input", "tool_use"), ("source", "search_result"), ("context", "document"), ("content", "content"),
))  # fmt: skip
# The `audio` field of a call describes how the answer should sound.
_NOT_MEDIA_IN_BODY = frozenset(("audio", "file_search"))

_DATA_URL = re.compile(r"data:[\w.+-]*/?[\w.+-]*(?:;[\w.+=-]+)*,", re.IGNORECASE)
_URL = re.compile(
    r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)\.?(?::(\d{1,5}))?(?:/[^\s\\\x00-\x20\x7f]*)?",
    re.IGNORECASE,
)
_PORTS = {"http": ("80", None), "https": ("443", None)}
_NOT_PUBLIC = frozenset(("local", "localhost", "internal", "localdomain", "svc", "lan", "intranet", "arpa"))
# The most values in a body that is searched for media.
_MOST_VALUES = 100_000
_NO_BASE64 = (":", ".", "~", "\\", "%", "*", "$", "<", "{")


def check_media(body: Body, hosts: Collection[str], *, is_messages: bool = False) -> None:
    """Check every reference to a medium in a call. `is_messages`: it goes to a server of the Messages API.

    Raises Refusal (400) naming the member: for a URL to a host that is not among `hosts`, for another scheme, a
    path of the server, something stored there, a repeated member, or more values than are checked.
    """
    may_hold = _may_name_media(body.outline) or hides_letters(body.outline)
    if may_hold and body.values > _MOST_VALUES:
        message = (
            f"A call with media or files may have at most {_MOST_VALUES:,} values. Send fewer parts at once."
        )
        raise bad_request(message, code="invalid_json")
    for name in dict.fromkeys(body.names()):
        is_medium = _is_medium(name)
        if not is_medium and name not in _IN_BODY:
            continue
        raw = body.raw_of(name) or b""
        if is_medium or (may_hold and (_may_name_media(without_escapes(raw)) or hides_letters(raw))):
            for path, key, value in _references(parse(raw, name), name, is_medium, is_messages):
                _check(path, key, value, hosts)


def _may_name_media(plain: bytes) -> bool:
    """Whether a text in JSON without escaped quotation marks may be the name or the type of a medium.

    Reads each byte a few times, and only a few bytes at once.
    """
    start = plain.find(b'"')
    while start >= 0:
        # This quotation mark may also begin the next text.
        end = plain.find(b'"', start + _STRETCH)
        names = b'"'.join(_NAME.findall(plain, start, len(plain) if end < 0 else end + 1)).lower()
        # Clients repeat the names of their calls.
        if _is_any_medium(names) if len(names) <= _LONGEST_KNOWN else any(word in names for word in _MEDIA):
            return True
        start = end
    return False


@lru_cache(1024)
def _is_any_medium(names: bytes) -> bool:
    """Whether one of the words for media is in these names."""
    return any(word in names for word in _MEDIA)


def hides_letters(raw: bytes) -> bool:
    """Whether JSON contains an escaped letter, which can hide a name."""
    return raw.find(b"\\u00") >= 0 and any(
        _HIDDEN.search(raw, start, start + _STRETCH + _LENGTH_HIDDEN)
        for start in range(0, len(raw), _STRETCH)
    )


@lru_cache(maxsize=4096)
def _is_medium(name: str) -> bool:
    """Whether the name of a top-level field means a medium."""
    return name not in _NOT_MEDIA_IN_BODY and names_medium(fold(name))


def _references(whole: Any, name: str, is_medium: bool, is_messages: bool) -> Iterator[tuple[str, str, Any]]:
    """Every text that represents a medium: its path, the folded name of its member, and the text."""
    waiting: list[tuple[Any, str, str, bool]] = [(whole, name, fold(name), is_medium)]
    while waiting:
        value, path, key, inside = waiting.pop()
        if isinstance(value, list):
            waiting += [
                (one, f"{path}[{at}]", key, inside) for at, one in enumerate(value) if _matters(one, inside)
            ]
        elif isinstance(value, dict):
            kind = value.get("type")
            # Whatever else it is, it is no kind that we know.
            kind = kind if kind is None or isinstance(kind, str) else ""
            if kind and fold(kind).endswith("embeds"):
                raise _refused(
                    f"{path}.type", "holds embeddings instead of a medium", "unsupported_parameter"
                )
            of_a_medium = inside or (kind is not None and _ANY_TYPE.match(fold(kind)) is not None)
            for inner_name, inner in value.items():
                compared = fold(inner_name)
                where = f"{path}.{inner_name[:60]}"
                if compared == "data" and (key, kind) == ("source", "text"):
                    # The words of a document.
                    continue
                if (
                    is_messages
                    and (compared, kind) in _WORDS_OF_MESSAGES
                    and (isinstance(inner, str) or compared == "input")
                ):
                    continue
                if (
                    compared in _STORED
                    or (compared == "id" and key == "audio")
                    or compared.endswith("embeds")
                ):
                    if inner is not None:
                        raise _refused(
                            where, "refers to something stored on a server", "unsupported_parameter"
                        )
                elif compared in _ELSEWHERE and inner is not None:
                    raise _refused(where, "redirects the model's server", "unsupported_parameter")
                elif compared in _NOT_LOOKED_INTO or (
                    compared in _WORDS and not isinstance(inner, list | dict)
                ):
                    continue
                elif _matters(inner, True):
                    waiting.append((inner, where, compared, of_a_medium or names_medium(compared)))
        elif inside and isinstance(value, str):
            yield path, key, value


def _matters(value: Any, inside: bool) -> bool:
    return isinstance(value, list | dict) or (inside and isinstance(value, str))


def _check(path: str, key: str, value: str, hosts: Collection[str]) -> None:
    if not value or _DATA_URL.match(value, 0, 200):
        return
    url = _URL.fullmatch(value)
    if url is not None and is_allowed_host(url[2], hosts) and url[3] in _PORTS[url[1].lower()]:
        return
    if url is None and "url" not in key and "uri" not in key and "path" not in key and _is_base64(value):
        return
    what = (
        f"names the host `{url[2]}`"
        if url is not None
        else "is neither a `data:` URL nor a URL to an allowed host"
    )
    raise _refused(path, what, "media_url_not_allowed")


def is_allowed_host(host: str, hosts: Collection[str]) -> bool:
    """Whether a host is on the list, by its name or as `*.` and a parent domain. Always False for a non-public host."""
    host = host.lower().rstrip(".")
    if _is_numeric(host):
        try:
            return host in hosts and ipaddress.ip_address(host).is_global
        except ValueError:
            # 0177.1, 2130706433 and the like: numbers that some readers treat as an address.
            return False
    parts = host.split(".")
    if len(parts) < 2 or parts[-1] in _NOT_PUBLIC or ".svc." in f"{host}.":
        return False
    return host in hosts or any(f"*.{'.'.join(parts[at:])}" in hosts for at in range(1, len(parts) - 1))


def _is_numeric(host: str) -> bool:
    """Whether the last label is a number: browsers then treat the host as an IPv4 address."""
    return re.fullmatch(r"\d+|0x[0-9a-f]*", host.rsplit(".", 1)[-1]) is not None


def _is_base64(value: str) -> bool:
    if any(mark in value for mark in _NO_BASE64):
        return False
    if value.startswith(("/9j/", "//")):
        return True
    return "/" not in value or len(value) > (512 if value.startswith("/") else 64)  # else a path


def _refused(path: str, what: str, code: str) -> Refusal:
    return bad_request(
        f"`{path}` {what}, which is not accepted. Send the data itself as a `data:` URL, or ask the operators which "
        "hosts are allowed.",
        code=code,
        param=path,
    )

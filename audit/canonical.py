"""The form in which a checkpoint hashes an entry: version 1; docs/audit.md describes it in full.

Everything in an entry is either a fact or a word. Facts (ids, times, the verb, numbers) are hashed as they are.
Words (labels, addresses, every text in `details` and `changes`) are hashed as salted commitments, one for each,
so that a word can be erased later and the rest of the entry still verifies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

VERSION: Final = 1
WORD_COLUMNS: Final = (
    "actor_label",
    "on_behalf_of_label",
    "reason",
    "subject_label",
    "address",
    "user_agent",
)


class Row(NamedTuple):
    """An entry as stored in the database; SELECT fetches it."""

    id: str
    at: datetime
    tenant: str | None
    actor: str | None
    acting_as: str
    on_behalf_of: str | None
    verb: str
    subject_type: str
    subject_id: str
    request_id: str
    trace_id: str
    actor_label: str
    on_behalf_of_label: str
    reason: str
    subject_label: str
    address: str | None
    user_agent: str
    details: str
    changes: str
    salt: bytes
    leaf_salts: str | None


SELECT: Final = """
SELECT id::text, at, tenant_id::text, actor_id::text, acting_as, on_behalf_of_id::text, verb, subject_type,
       subject_id, request_id, trace_id, actor_label, on_behalf_of_label, reason, subject_label, host(address),
       user_agent, details::text, changes::text, salt, leaf_salts::text
  FROM audit_auditentry
"""


def digest_of(row: Row, erased: Mapping[str, str] | None = None) -> bytes:
    """The SHA-256 of an entry's canonical form; `erased` holds the commitments of erased words, by path."""
    facts, words = leaves_of(row)
    salts = _Salts(row)
    commitments = {path: commitment(salts[path], word) for path, word in words.items()}
    if erased:
        commitments |= erased
    document = {
        "v": VERSION,
        "id": row.id,
        "at": moment(row.at),
        "tenant": row.tenant,
        "actor": row.actor,
        "acting_as": row.acting_as,
        "on_behalf_of": row.on_behalf_of,
        "verb": row.verb,
        "subject_type": row.subject_type,
        "subject_id": row.subject_id,
        "request_id": row.request_id,
        "trace_id": row.trace_id,
        "facts": facts,
        "words": commitments,
    }
    return sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).digest()


def leaves_of(row: Row) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts and the words in an entry's open-ended content, each by its path."""
    words = {column: word for column in WORD_COLUMNS if (word := getattr(row, column))}
    facts: dict[str, Any] = {}
    for column, text in (("details", row.details), ("changes", row.changes)):
        if text == "{}":
            continue
        for path, leaf in _leaves(orjson.loads(text), column):
            if isinstance(leaf, str) and leaf:
                words[path] = leaf
            else:
                facts[path] = leaf
    return facts, words


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each leaf of a JSON value with its path, in the style of JSON Pointer (RFC 6901)."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            if "~" in key or "/" in key:
                key = key.replace("~", "~0").replace("/", "~1")
            yield from _leaves(inner, f"{path}/{key}")
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}/{place}")
    else:
        yield path, value


def commitment(salt: bytes, word: str) -> str:
    """The commitment to a word in the canonical form: hexadecimal SHA-256 of its own salt and the word."""
    return sha256(salt + word.encode()).hexdigest()


def leaf_salt(salt: bytes, path: str) -> bytes:
    """The salt of the word at `path`: derived from the entry's salt, which it does not reveal."""
    return sha256(salt + path.encode()).digest()


class _Salts:
    """Salts by path: derived from the entry's salt, or, after an erasure, the stored salts of the remaining words."""

    def __init__(self, row: Row) -> None:
        self.salt = bytes(row.salt)
        self.kept = orjson.loads(row.leaf_salts) if row.leaf_salts and not self.salt else {}

    def __getitem__(self, path: str) -> bytes:
        return leaf_salt(self.salt, path) if self.salt else bytes.fromhex(self.kept.get(path, ""))


def salts_of(row: Row, paths: Mapping[str, Any]) -> dict[str, str]:
    """The salts of the words at `paths`, hexadecimal, which a redaction keeps instead of the entry's salt."""
    salts = _Salts(row)
    return {path: salts[path].hex() for path in paths}


def moment(at: datetime) -> str:
    """A time in canonical form: UTC, always with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


NOTHING_BEFORE: Final = bytes(32)


def checkpoint_digest(
    *,
    number: int,
    previous: bytes,
    created_at: datetime,
    first_at: datetime,
    last_at: datetime,
    ids: bytes,
    digests: bytes,
) -> bytes:
    """The SHA-256 of a checkpoint: its head as canonical JSON, a line feed, all ids (16 bytes each), all digests (32).

    docs/audit.md gives the head's fields.

    Args:
        number: number of the checkpoint, from 1.
        previous: digest of the checkpoint before; 32 zero bytes for the first.
        created_at: when the checkpoint is written.
        first_at: time of the earliest entry.
        last_at: time of the latest entry.
        ids: ids of the entries, in order.
        digests: digests of the entries, in the same order.
    """
    head = {
        "v": VERSION,
        "number": number,
        "previous": previous.hex(),
        "created_at": moment(created_at),
        "first_at": moment(first_at),
        "last_at": moment(last_at),
        "entries": len(ids) // 16,
    }
    return sha256(orjson.dumps(head, option=orjson.OPT_SORT_KEYS) + b"\n" + ids + digests).digest()

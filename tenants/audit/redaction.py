"""Erasing a person's words from the trail, so that everything else in it still proves itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.db import connection, transaction

from tenants.audit.canonical import WORD_COLUMNS, Row, commitment, leaves_of, salts_of
from tenants.audit.recording import record
from tenants.audit.seals import fetch
from tenants.audit.verify import redactions_digest
from tenants.models import AuditEntry, User

ENTRIES_A_RECORD: Final = 2_000
RENAMINGS: Final = (
    "person.changed",
    "person.address_freed",
)  # deeds whose changes are nothing but personal data
CALLED: Final = ("email", "work_email", "name", "display_name", "formatted_name")  # by these others know them

_ABOUT = """
SELECT id::text FROM tenants_auditentry
 WHERE id > %(after)s AND (
       actor_id = %(person)s OR on_behalf_of_id = %(person)s OR subject_id = %(person)s::text
    OR concat_ws(' ', actor_label, on_behalf_of_label, subject_label, reason, details::text, changes::text)
       ILIKE ANY(%(words)s))
 ORDER BY id LIMIT %(limit)s
"""
NOBODY_YET: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Person:
    """Whose words are meant: their id, and the words by which they are or were known."""

    id: str
    words: tuple[str, ...]  # addresses and names

    @classmethod
    def of(cls, user: User) -> Person:
        """The person as they are now, and as the trail says they were; take it before their row is pseudonymised."""
        words = {user.email, user.name.strip()}
        renamings = AuditEntry.unscoped.filter(subject_id=str(user.pk), verb__in=RENAMINGS)
        for changes in renamings.values_list("changes", flat=True):
            words.update(str(word or "").strip() for field in CALLED for word in changes.get(field, ()))
        return cls(str(user.pk), tuple(sorted(word for word in words if len(word) > 2)))

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches texts that name the person. Word for word: erasing Ann leaves Annabel alone."""
        return re.compile(r"|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in self.words), re.IGNORECASE)


def entries_about(person: Person) -> Iterator[list[Row]]:
    """Entries by the person, on their behalf, about them, or naming them; in the order of ids, in batches."""
    words = [f"%{_escaped(word)}%" for word in person.words]
    after = NOBODY_YET
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                _ABOUT, {"after": after, "person": person.id, "words": words, "limit": ENTRIES_A_RECORD}
            )
            ids = [row[0] for row in cursor.fetchall()]
            if not ids:
                return
            rows = fetch(cursor, ids)
        yield rows
        after = ids[-1]


def _escaped(word: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", word)


def words_to_erase(row: Row, person: Person) -> dict[str, str]:
    """Which words of an entry go, by path."""
    words, pattern = leaves_of(row)[1], person.pattern
    gone = {path: word for path, word in words.items() if pattern.search(word)}
    if row.actor == person.id:
        gone |= {
            column: words[column] for column in ("actor_label", "address", "user_agent") if column in words
        }
    if row.on_behalf_of == person.id and row.on_behalf_of_label:
        gone["on_behalf_of_label"] = row.on_behalf_of_label
    if row.subject_id == person.id and row.subject_label:
        gone["subject_label"] = row.subject_label
    if row.subject_id == person.id and row.verb in RENAMINGS:
        gone |= {path: word for path, word in words.items() if path.startswith("changes/")}
    return gone


@transaction.atomic
def erase_from_trail(person: Person, *, token: str, user: User, by: User | None, reason: str) -> int:
    """Put `token` in the place of every word of the person's; return how many entries that changed.

    What is taken is recorded: an entry "audit.redacted" for every 2,000, which is sealed like any other and fixes
    what may be missing, where. Safe to repeat: what is erased names nobody any more.
    """
    erased = 0
    for rows in entries_about(person):
        taken = [(row, gone) for row in rows if (gone := _still_there(words_to_erase(row, person), token))]
        if not taken:
            continue
        redactions = [(row.id, token, _commitments(row, gone)) for row, gone in taken]
        line = record(
            "audit.redacted",
            actor=by,
            subject=user,
            reason=reason,
            entries=len(taken),
            token=token,
            sha256=redactions_digest(redactions),
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "SELECT audit_redact(%s, %s, %s, %s, %s, %s)",
                [
                    (entry_id, line.pk, token, _json(commitments), *_what_stays(row, gone, token))
                    for (entry_id, _, commitments), (row, gone) in zip(redactions, taken, strict=True)
                ],
            )
        erased += len(taken)
    return erased


def _still_there(gone: dict[str, str], token: str) -> dict[str, str]:
    return {path: word for path, word in gone.items() if token not in word}


def _commitments(row: Row, gone: dict[str, str]) -> dict[str, str]:
    salts = salts_of(row, gone)
    return {path: commitment(bytes.fromhex(salts[path]), word) for path, word in gone.items()}


def _what_stays(row: Row, gone: dict[str, str], token: str) -> tuple[str, str]:
    """The entry's words after the erasure, and the salts of those that stayed, both as JSON."""
    words: dict[str, Any] = {column: getattr(row, column) for column in WORD_COLUMNS}
    words |= {column: token for column in WORD_COLUMNS if column in gone}
    words |= {column: empty for column, empty in (("address", None), ("user_agent", "")) if column in gone}
    for column, text in (("details", row.details), ("changes", row.changes)):
        words[column] = _replaced(orjson.loads(text), column, gone, token)
    kept = {path: word for path, word in leaves_of(row)[1].items() if path not in gone}
    return _json(words), _json(salts_of(row, kept))


def _replaced(value: Any, path: str, gone: dict[str, str], token: str) -> Any:
    if isinstance(value, dict):
        return {
            key: _replaced(inner, f"{path}/{key.replace('~', '~0').replace('/', '~1')}", gone, token)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_replaced(inner, f"{path}/{place}", gone, token) for place, inner in enumerate(value)]
    return token if path in gone else value


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()

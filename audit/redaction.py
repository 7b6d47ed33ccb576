"""Erase a person's words from the audit log, so that the rest of it still verifies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any, Final, cast

import orjson
from django.contrib.auth import get_user_model
from django.db import connection, models, transaction
from django.utils.timezone import now

from audit.canonical import WORD_COLUMNS, Row, commitment, leaves_of, salts_of
from audit.checkpoints import fetch
from audit.recording import record
from audit.verify import redactions_digest
from core.ids import smallest_id
from core.principals import Principal

ENTRIES_A_RECORD: Final = 2_000
# An entry is committed within this time, or never.
LONGEST_TRANSACTION: Final = timedelta(days=1)
# The fields of an entry about a person that contain their present and former names.
_OF_A_PERSON: Final = (
    "subject_label",
    *(
        f"changes/{field}/"
        for field in (
            *("name", "email", "work_email", "external_id"),
            *("given_name", "family_name", "formatted_name", "display_name"),
        )
    ),
)

_ABOUT = """
SELECT id::text FROM audit_auditentry
 WHERE id > %(after)s AND (
       actor_id = %(person)s OR on_behalf_of_id = %(person)s OR subject_id = %(person)s::text
    OR concat_ws(' ', actor_label, on_behalf_of_label, subject_label, reason, details::text, changes::text)
       ILIKE ANY(%(words)s))
 ORDER BY id LIMIT %(limit)s
"""
NOBODY_YET: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Person:
    """The person to erase: their id, and the words that identify them.

    An address belongs to one person and counts wherever it occurs. Many people may share a name, a name may be an
    ordinary word, and people choose it themselves. So a name counts only in entries about the person and, if it has
    several words, in the tenants they belong to or have acted in.
    """

    id: str
    # Current and former ones.
    addresses: tuple[str, ...]
    # Current and former ones.
    names: tuple[str, ...] = ()
    tenants: frozenset[str] = frozenset()

    @classmethod
    def of(cls, user: Principal) -> Person:
        """The person as they are now; call it before their row is pseudonymized."""
        with connection.cursor() as cursor:
            cursor.execute(KNOWN_BY, {"person": str(user.pk)})
            addresses, names, tenants = cursor.fetchone()
        former = {address for address in addresses or () if "@" in (address or "")} - {user.email}
        now_others = get_user_model().objects.filter(email__in=former)
        former -= set(now_others.values_list("email", flat=True))
        return cls(
            str(user.pk),
            (user.email, *sorted(former)),
            tuple(sorted(name for name in {user.name.strip(), *(names or ())} if len(name or "") > 2)),
            frozenset(str(tenant) for tenant in tenants or ()),
        )

    def is_named_in(self, text: str) -> bool:
        """Whether `text` contains an address or a name of the person."""
        return _matches(text, *self.addresses, *self.names)


KNOWN_BY = """
SELECT (SELECT array_agg(DISTINCT label) FROM (
            SELECT actor_label AS label FROM audit_auditentry WHERE actor_id = %(person)s
             UNION SELECT jsonb_array_elements_text(changes -> 'email') FROM audit_auditentry
                    WHERE subject_id = %(person)s::text AND jsonb_typeof(changes -> 'email') = 'array'
        ) labels),
       (SELECT array_agg(DISTINCT called) FROM audit_auditentry e
          CROSS JOIN unnest(ARRAY['name', 'display_name', 'formatted_name']) AS field
          CROSS JOIN LATERAL jsonb_array_elements_text(
              CASE jsonb_typeof(e.changes -> field) WHEN 'array' THEN e.changes -> field ELSE '[]' END
          ) AS called WHERE e.subject_id = %(person)s::text),
       (SELECT array_agg(DISTINCT tenant_id) FROM (
            SELECT tenant_id FROM audit_auditentry WHERE actor_id = %(person)s OR subject_id = %(person)s::text
             UNION SELECT tenant_id FROM tenants_membership WHERE user_id = %(person)s
        ) houses WHERE tenant_id IS NOT NULL)
"""


def _matches(text: str, *words: str) -> bool:
    """Whether `text` contains one of the words as a whole word: erasing Ann leaves Annabel alone."""
    return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) for word in words)


@dataclass(frozen=True)
class Found:
    """All entries older than `since` that may be about a person."""

    person: Person
    ids: tuple[str, ...]
    since: str


def look_for(person: Person) -> Found:
    """Search the whole audit log for a person, in minutes and without locks; `entries_about` continues from it."""
    since = str(smallest_id(now() - LONGEST_TRANSACTION))
    return Found(person, tuple(i for ids in _ids_about(person, NOBODY_YET) for i in ids if i < since), since)


def entries_about(person: Person, found: Found | None = None) -> Iterator[list[Row]]:
    """Entries by the person, on their behalf, about them, or naming them; in the order of ids, in batches.

    With an earlier result as `found`, reads only those and newer ones, unless the person had another name then.
    """
    is_still_them = found is not None and found.person == person
    known = found.ids if found and is_still_them else ()
    batches = [list(known[i : i + ENTRIES_A_RECORD]) for i in range(0, len(known), ENTRIES_A_RECORD)]
    for ids in chain(batches, _ids_about(person, found.since if found and is_still_them else NOBODY_YET)):
        with connection.cursor() as cursor:
            rows = fetch(cursor, ids)
        yield [row for row in rows if _is_about(row, person) or words_to_erase(row, person)]


def _ids_about(person: Person, after: str) -> Iterator[list[str]]:
    words = [f"%{_escaped(word)}%" for word in (*person.addresses, *person.names)]
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                _ABOUT, {"after": after, "person": person.id, "words": words, "limit": ENTRIES_A_RECORD}
            )
            ids = [row[0] for row in cursor.fetchall()]
        if not ids:
            return
        yield ids
        after = ids[-1]


def _is_about(row: Row, person: Person) -> bool:
    return person.id in (row.actor, row.on_behalf_of, row.subject_id)


def _escaped(word: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", word)


def words_to_erase(row: Row, person: Person) -> dict[str, str]:
    """The words of an entry to erase, by path."""
    words = leaves_of(row)[1]
    gone = {path: word for path, word in words.items() if _matches(word, *person.addresses)}
    is_theirs = _is_about(row, person) or bool(gone)
    is_at_home = row.tenant in person.tenants
    names = [name for name in person.names if is_theirs or (is_at_home and " " in name)]
    gone |= {path: word for path, word in words.items() if _matches(word, *names)}
    if row.actor == person.id:
        gone |= {
            column: words[column] for column in ("actor_label", "address", "user_agent") if column in words
        }
    if row.on_behalf_of == person.id and row.on_behalf_of_label:
        gone["on_behalf_of_label"] = row.on_behalf_of_label
    if row.subject_id == person.id:
        gone |= {path: word for path, word in words.items() if path.startswith(_OF_A_PERSON)}
    return gone


@transaction.atomic
def erase_from_audit_log(
    person: Person,
    *,
    token: str,
    user: Principal,
    by: Principal | None,
    reason: str,
    found: Found | None = None,
) -> int:
    """Replace every word of the person's by `token`; return the number of changed entries.

    The erasure is recorded: one entry "audit.redacted" for every 2,000, which gets a checkpoint like any other and
    states which words may be missing, and where. Safe to repeat: erased entries no longer name the person.

    Args:
        person: addresses and names to look for.
        token: the pseudonym.
        user: the erased person.
        by: who ordered the erasure; None: the platform.
        reason: the reason, for the audit log.
        found: entries found before anything was locked; None: search all.
    """
    erased = 0
    for rows in entries_about(person, found):
        taken = [(row, gone) for row in rows if (gone := _still_there(words_to_erase(row, person), token))]
        if not taken:
            continue
        redactions = [(row.id, token, _commitments(row, gone)) for row, gone in taken]
        line = record(
            "audit.redacted",
            actor=by,
            subject=cast(models.Model, user),
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
    """The entry's words after the erasure, and the salts of the remaining words, both as JSON."""
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

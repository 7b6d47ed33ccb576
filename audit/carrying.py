"""Carrying seals to where the operator of this database cannot reach: a file, or an S3-compatible store.

Whoever holds exported seals can tell an audit log that was rewritten, or cut at its end, from the one that was sealed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

import orjson
import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils.timezone import now

from audit.canonical import moment
from audit.models import AuditSeal, AuditSealExport

log = structlog.get_logger(__name__)

SEALS_AT_ONCE: Final = 500


class Destination(Protocol):
    """Where seals are carried: each is a line of JSON, put once, read in the order of numbers."""

    name: str

    def put(self, lines: list[dict[str, Any]]) -> None: ...  # putting the same again changes nothing
    def lines(self) -> Iterator[dict[str, Any]]: ...


class SealsWereCut(Exception):
    """The store holds less than was carried there, or another seal of the same number."""


def export_seals() -> int:
    """Carry every seal that AUDIT_SEAL_EXPORT does not hold yet; return how many. Safe to repeat and to kill."""
    if not settings.AUDIT_SEAL_EXPORT:
        return 0
    destination = destination_of(settings.AUDIT_SEAL_EXPORT)
    state, _ = AuditSealExport.objects.get_or_create(destination=destination.name)
    carried = 0
    while lines := seal_lines(after=state.up_to_seal + carried, limit=SEALS_AT_ONCE):
        destination.put(lines)
        carried += len(lines)
        AuditSealExport.objects.filter(pk=state.pk).update(
            up_to_seal=Greatest(F("up_to_seal"), lines[-1]["number"]), exported_at=now()
        )
    if carried:
        log.info("audit_seals_exported", destination=destination.name, seals=carried)
    return carried


def seal_lines(*, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
    """Seals after a number as they are exported: without ids and digests of entries, which the SHA-256 covers."""
    rows = AuditSeal.objects.filter(number__gt=after).order_by("number")
    heads = rows.values_list("number", "previous", "sha256", "sealed_at", "first_at", "last_at")
    return [
        {
            "number": number,
            "previous": bytes(previous).hex(),
            "sha256": bytes(sha256).hex(),
            "sealed_at": moment(sealed_at),
            "first_at": moment(first_at),
            "last_at": moment(last_at),
        }
        for number, previous, sha256, sealed_at, first_at, last_at in heads[:limit]
    ]


def destination_of(address: str) -> Destination:
    """The store at `file:///…` or `s3://bucket/prefix`. Raises ImproperlyConfigured for anything else."""
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.path:
        return SealFile(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return SealBucket(parts.netloc, parts.path.strip("/"))
    raise ImproperlyConfigured(
        f"AUDIT_SEAL_EXPORT must be file:///path/seals.jsonl or s3://bucket/prefix, not {address!r}."
    )


class SealFile:
    """A file that only grows: one line a seal. Put it on a volume that takes appends alone (chattr +a, WORM)."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.as_uri()

    def put(self, lines: list[dict[str, Any]]) -> None:
        """Append what the file does not hold yet; a line that a dying process left unfinished is completed.

        Raises SealsWereCut when lines between the file's last and these are missing.
        """
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with open(self.path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last, unfinished = self._end(file)
            if lines[0]["number"] > last + 1:
                raise SealsWereCut(
                    f"{self.path} ends with seal {last}, but seals up to {lines[0]['number'] - 1} were written there."
                )
            text = b"".join(_line(line) for line in lines if line["number"] > last)
            if unfinished and text.startswith(unfinished):
                text = text[len(unfinished) :]
            elif unfinished:
                text = b"\n" + text
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def lines(self) -> Iterator[dict[str, Any]]:
        with open(self.path, "rb") as file:
            for line in file:
                if line.strip():
                    yield orjson.loads(line)

    def _end(self, file: IO[bytes]) -> tuple[int, bytes]:
        """The number of the last whole line, and what follows it unfinished."""
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4096))
        whole, _, unfinished = file.read().rpartition(b"\n")
        last = whole.rpartition(b"\n")[2].strip()
        return (int(orjson.loads(last)["number"]) if last else 0), unfinished


class SealBucket:
    """An S3-compatible bucket: one object a seal, keys that sort by number. Give the bucket an object lock."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, f"{prefix}/" if prefix else ""
        self.name = f"s3://{bucket}/{prefix}"

    def put(self, lines: list[dict[str, Any]]) -> None:
        """Put what is not there yet, and nothing over what is: a rewritten chain would else prove itself.

        Raises SealsWereCut when the store holds another seal of one of these numbers.
        """
        client = self._client()
        for line in lines:
            place = {"Bucket": self.bucket, "Key": f"{self.prefix}seal-{line['number']:012d}.json"}
            try:
                held = client.get_object(**place)["Body"].read()
            except client.exceptions.NoSuchKey:
                client.put_object(**place, Body=_line(line), ContentType="application/json")
                continue
            if held != _line(line):
                raise SealsWereCut(
                    f"{self.name} holds another seal {line['number']} than this database: the chain was rewritten. "
                    f"Run verify_audit --against {self.name}."
                )

    def lines(self) -> Iterator[dict[str, Any]]:
        client = self._client()
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}seal-"
        )
        for page in pages:
            for found in page.get("Contents", ()):
                yield orjson.loads(client.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read())

    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=settings.AUDIT_SEAL_EXPORT_ENDPOINT or None,
            region_name=settings.AUDIT_SEAL_EXPORT_REGION,
            aws_access_key_id=settings.AUDIT_SEAL_EXPORT_KEY_ID or None,
            aws_secret_access_key=settings.AUDIT_SEAL_EXPORT_SECRET or None,
            config=Config(
                connect_timeout=5, read_timeout=20, retries={"max_attempts": 3, "mode": "standard"}
            ),
        )


def _line(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n"

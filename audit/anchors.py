"""Anchor checkpoints where the operator of this database cannot change them: a file, or an S3-compatible store.

With exported checkpoints, an auditor can tell a rewritten or truncated audit log from the original.
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
from audit.models import AuditAnchor, AuditCheckpoint

log = structlog.get_logger(__name__)

CHECKPOINTS_AT_ONCE: Final = 500


class Destination(Protocol):
    """A store of checkpoints: each is a line of JSON, written once and read in the order of numbers."""

    name: str

    # Repeating a put changes nothing.
    def put(self, lines: list[dict[str, Any]]) -> None: ...
    def lines(self) -> Iterator[dict[str, Any]]: ...


class AnchorMismatch(Exception):
    """The store lacks checkpoints that were written there, or holds a different one of the same number."""


def anchor_checkpoints() -> int:
    """Write every checkpoint that AUDIT_ANCHOR does not have yet; return how many. Safe to repeat and to kill."""
    if not settings.AUDIT_ANCHOR:
        return 0
    destination = destination_of(settings.AUDIT_ANCHOR)
    state, _ = AuditAnchor.objects.get_or_create(destination=destination.name)
    written = 0
    while lines := checkpoint_lines(after=state.up_to_checkpoint + written, limit=CHECKPOINTS_AT_ONCE):
        destination.put(lines)
        written += len(lines)
        AuditAnchor.objects.filter(pk=state.pk).update(
            up_to_checkpoint=Greatest(F("up_to_checkpoint"), lines[-1]["number"]), exported_at=now()
        )
    if written:
        log.info("audit_checkpoints_anchored", destination=destination.name, checkpoints=written)
    return written


def checkpoint_lines(*, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
    """Checkpoints after a number in export form: without ids and digests of entries, which the SHA-256 covers."""
    rows = AuditCheckpoint.objects.filter(number__gt=after).order_by("number")
    heads = rows.values_list("number", "previous", "sha256", "created_at", "first_at", "last_at")
    return [
        {
            "number": number,
            "previous": bytes(previous).hex(),
            "sha256": bytes(sha256).hex(),
            "created_at": moment(created_at),
            "first_at": moment(first_at),
            "last_at": moment(last_at),
        }
        for number, previous, sha256, created_at, first_at, last_at in heads[:limit]
    ]


def destination_of(address: str) -> Destination:
    """The store at `file:///…` or `s3://bucket/prefix`. Raises ImproperlyConfigured for anything else."""
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.path:
        return AnchorFile(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return AnchorBucket(parts.netloc, parts.path.strip("/"))
    raise ImproperlyConfigured(
        f"AUDIT_ANCHOR must be file:///path/checkpoints.jsonl or s3://bucket/prefix, not {address!r}."
    )


class AnchorFile:
    """An append-only file: one line per checkpoint. Put it on a volume that allows only appends (chattr +a, WORM)."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.as_uri()

    def put(self, lines: list[dict[str, Any]]) -> None:
        """Append lines that the file does not have yet, and complete a line that a killed process left unfinished.

        Raises AnchorMismatch if lines between the file's last and these are missing.
        """
        self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        with open(self.path, "a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last, unfinished = self._end(file)
            if lines[0]["number"] > last + 1:
                raise AnchorMismatch(
                    f"{self.path} ends with checkpoint {last}, but checkpoints up to {lines[0]['number'] - 1} "
                    "were written there."
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
        """The number of the last complete line, and the unfinished text after it."""
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 4096))
        whole, _, unfinished = file.read().rpartition(b"\n")
        last = whole.rpartition(b"\n")[2].strip()
        return (int(orjson.loads(last)["number"]) if last else 0), unfinished


class AnchorBucket:
    """An S3-compatible bucket: one object per checkpoint; keys sort by number. Give the bucket an object lock."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, f"{prefix}/" if prefix else ""
        self.name = f"s3://{bucket}/{prefix}"

    def put(self, lines: list[dict[str, Any]]) -> None:
        """Put checkpoints that are not there yet, and overwrite none: otherwise a rewritten chain would pass.

        Raises AnchorMismatch if the store holds a different checkpoint with one of these numbers.
        """
        client = self._client()
        for line in lines:
            place = {"Bucket": self.bucket, "Key": f"{self.prefix}checkpoint-{line['number']:012d}.json"}
            try:
                held = client.get_object(**place)["Body"].read()
            except client.exceptions.NoSuchKey:
                client.put_object(**place, Body=_line(line), ContentType="application/json")
                continue
            if held != _line(line):
                raise AnchorMismatch(
                    f"{self.name} holds another checkpoint {line['number']} than this database: "
                    f"the chain was rewritten. Run verify_audit --against {self.name}."
                )

    def lines(self) -> Iterator[dict[str, Any]]:
        client = self._client()
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=f"{self.prefix}checkpoint-"
        )
        for page in pages:
            for found in page.get("Contents", ()):
                yield orjson.loads(client.get_object(Bucket=self.bucket, Key=found["Key"])["Body"].read())

    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=settings.AUDIT_ANCHOR_ENDPOINT or None,
            region_name=settings.AUDIT_ANCHOR_REGION,
            aws_access_key_id=settings.AUDIT_ANCHOR_KEY_ID or None,
            aws_secret_access_key=settings.AUDIT_ANCHOR_SECRET or None,
            config=Config(
                connect_timeout=5, read_timeout=20, retries={"max_attempts": 3, "mode": "standard"}
            ),
        )


def _line(line: dict[str, Any]) -> bytes:
    return orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n"

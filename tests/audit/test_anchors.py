"""Checkpoints are written to a file or an S3-compatible store, whole, in order, once."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

import audit
from audit.anchors import AnchorMismatch, anchor_checkpoints, checkpoint_lines, destination_of
from audit.checkpoints import checkpoint_pending_entries
from audit.models import AuditAnchor
from tests.audit.tampering import behind_the_audit_log, grow_older

pytestmark = pytest.mark.as_owner

KEY_ID, SECRET = "test-key-id", "a test secret of some length"


def checkpoint_more(lab, checkpoints):
    for _ in range(checkpoints):
        audit.record("thing.done", actor=None, subject=lab)
        checkpoint_pending_entries()


class Store(ThreadingHTTPServer):
    """As much of S3 as checkpoints need: signed PUT, GET and list, answered as the protocol says."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.objects, self.puts, self.is_down = {}, [], False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_PUT(self):
        body = self.body()
        if self.server.is_down:
            return self.answer(503, b"<Error><Code>SlowDown</Code></Error>")
        if not self.is_signed():
            return self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        path = unquote(urlsplit(self.path).path)
        self.server.objects[path] = body
        self.server.puts.append(path)
        return self.answer(200, b"", ETag=f'"{hashlib.md5(body).hexdigest()}"')

    def do_GET(self):
        if not self.is_signed():
            return self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if "list-type" in query:
            bucket, prefix = unquote(parts.path).strip("/"), query["prefix"][0]
            keys = sorted(path.removeprefix(f"/{bucket}/") for path in self.server.objects)
            keys = [key for key in keys if key.startswith(prefix)]
            after = query.get("continuation-token", [""])[0]
            # Small pages: clients must ask on.
            page = [key for key in keys if key > after][:2]
            more = bool(page) and page[-1] != keys[-1]
            found = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in page)
            token = f"<NextContinuationToken>{page[-1]}</NextContinuationToken>" if more else ""
            xml = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{found}</ListBucketResult>"
            return self.answer(200, xml.encode())
        body = self.server.objects.get(unquote(parts.path))
        return (
            self.answer(200, body)
            if body is not None
            else self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        )

    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked" or "aws-chunked" in self.headers.get(
            "Content-Encoding", ""
        ):
            return self.chunks()
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def chunks(self):
        """The body of an aws-chunked request, whose chunks carry a trailing checksum."""
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body, rest = b"", raw
        while True:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size.partition(b";")[0], 16)
            if not length:
                return body
            body, rest = body + rest[:length], rest[length + 2 :]

    def is_signed(self):
        """Check the request's AWS Signature Version 4, from the headers it says it signed."""
        found = re.match(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/s3/aws4_request, "
            r"SignedHeaders=([^,]+), Signature=(\w+)",
            self.headers.get("Authorization", ""),
        )
        if not found or found[1] != KEY_ID:
            return False
        _, day, region, signed, signature = found.groups()
        parts = urlsplit(self.path)
        query = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}"
            for name, values in sorted(parse_qs(parts.query, keep_blank_values=True).items())
            for value in values
        )
        headers = "".join(f"{name}:{' '.join(self.headers[name].split())}\n" for name in signed.split(";"))
        request = "\n".join(
            [self.command, parts.path, query, headers, signed, self.headers["x-amz-content-sha256"]]
        )
        text = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                self.headers["x-amz-date"],
                f"{day}/{region}/s3/aws4_request",
                hashlib.sha256(request.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{SECRET}".encode()
        for part in (day, region, "s3", "aws4_request", text):
            key = hmac.digest(key, part.encode(), "sha256")
        return key.hex() == signature

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def store(settings):
    server = Store()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings.AUDIT_ANCHOR = "s3://evidence/quartermaster/audit"
    settings.AUDIT_ANCHOR_ENDPOINT = server.url
    settings.AUDIT_ANCHOR_KEY_ID, settings.AUDIT_ANCHOR_SECRET = KEY_ID, SECRET
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def file(settings, tmp_path):
    path = tmp_path / "outside" / "checkpoints.jsonl"
    settings.AUDIT_ANCHOR = path.as_uri()
    return path


def written(path):
    return [json.loads(line)["number"] for line in path.read_text().splitlines()]


def verdict(against):
    out = StringIO()
    call_command("verify_audit", against=against, stdout=out)
    return out.getvalue()


def test_a_store_holds_each_checkpoint_once(lab, store):
    checkpoint_more(lab, 3)
    assert anchor_checkpoints() == 3
    assert anchor_checkpoints() == 0
    checkpoint_more(lab, 1)
    assert anchor_checkpoints() == 1
    assert store.puts == [f"/evidence/quartermaster/audit/checkpoint-{n:012d}.json" for n in (1, 2, 3, 4)]
    assert json.loads(store.objects[store.puts[0]]) == checkpoint_lines(limit=1)[0]
    assert AuditAnchor.objects.get().up_to_checkpoint == 4


def test_an_audit_log_is_proved_against_its_store(lab, store, settings):
    checkpoint_more(lab, 5)
    anchor_checkpoints()
    assert f"5 checkpoints match {settings.AUDIT_ANCHOR}." in verdict(settings.AUDIT_ANCHOR)
    with behind_the_audit_log() as run:
        last = "SELECT unnest(entry_ids) FROM audit_auditcheckpoint WHERE number = 5"
        run(f"DELETE FROM audit_auditentry WHERE id IN ({last})")
        run("DELETE FROM audit_auditcheckpoint WHERE number = 5")
    with pytest.raises(CommandError, match="checkpoint 5 was exported"):
        verdict(settings.AUDIT_ANCHOR)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing was compared"),
        ("not JSON\n", "cannot be read"),
        ("{}\n", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_store_that_proves_nothing_is_not_taken_for_a_proof(lab, tmp_path, text, words):
    """A wrong path, an emptied bucket, a damaged file: an auditor must not read "Proved"."""
    checkpoint_more(lab, 2)
    path = tmp_path / "checkpoints.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CommandError, match=words):
        verdict(str(path))


def test_a_rewritten_chain_is_not_written_over_the_one_that_was(lab, store, settings):
    """Who rewrites the chain can lose the note of what was written, too: it is in the same database."""
    checkpoint_more(lab, 2)
    anchor_checkpoints()
    before = dict(store.objects)
    with behind_the_audit_log() as run:
        run("UPDATE audit_auditentry SET verb = 'thing.undone'")
    grow_older(0)  # checkpoints everything anew
    AuditAnchor.objects.all().delete()
    with pytest.raises(AnchorMismatch, match="holds another checkpoint 1"):
        anchor_checkpoints()
    assert store.objects == before
    with pytest.raises(CommandError, match="Checkpoint 1 is not the one that was exported"):
        verdict(settings.AUDIT_ANCHOR)


def test_a_store_holds_no_checkpoint_twice_when_the_note_was_lost(lab, store):
    checkpoint_more(lab, 2)
    anchor_checkpoints()
    AuditAnchor.objects.update(up_to_checkpoint=1)
    assert anchor_checkpoints() == 1
    assert len(store.puts) == 2


def test_a_store_that_is_away_is_caught_up_with(lab, store, monkeypatch):
    monkeypatch.setattr("botocore.retryhandler.delay_exponential", lambda *args, **kwargs: 0, raising=False)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    checkpoint_more(lab, 2)
    store.is_down = True
    with pytest.raises(Exception, match=r"SlowDown|503"):
        anchor_checkpoints()
    store.is_down = False
    assert anchor_checkpoints() == 2
    assert len(store.objects) == 2


def test_a_wrong_secret_is_refused(lab, store, settings):
    settings.AUDIT_ANCHOR_SECRET = "another secret"
    checkpoint_more(lab, 1)
    with pytest.raises(Exception, match=r"SignatureDoesNotMatch|403"):
        anchor_checkpoints()
    assert store.objects == {}


def test_a_file_grows_by_a_line_a_checkpoint(lab, file):
    checkpoint_more(lab, 2)
    assert anchor_checkpoints() == 2
    checkpoint_more(lab, 2)
    assert anchor_checkpoints() == 2
    assert written(file) == [1, 2, 3, 4]
    assert verdict(str(file)).startswith("Proved")


def test_a_file_holds_no_checkpoint_twice_when_the_note_was_lost(lab, file):
    checkpoint_more(lab, 3)
    anchor_checkpoints()
    # As if the worker had died before it noted.
    AuditAnchor.objects.update(up_to_checkpoint=1)
    anchor_checkpoints()
    assert written(file) == [1, 2, 3]


def test_an_unfinished_line_is_completed(lab, file):
    checkpoint_more(lab, 3)
    anchor_checkpoints()
    whole = file.read_bytes()
    # A worker died while it wrote the third.
    file.write_bytes(whole[:-40])
    AuditAnchor.objects.update(up_to_checkpoint=2)
    anchor_checkpoints()
    assert file.read_bytes() == whole


def test_a_cut_file_is_told(lab, file):
    checkpoint_more(lab, 3)
    anchor_checkpoints()
    file.write_bytes(file.read_bytes().split(b"\n")[0] + b"\n")
    checkpoint_more(lab, 1)
    with pytest.raises(AnchorMismatch, match="ends with checkpoint 1, but checkpoints up to 3"):
        anchor_checkpoints()


def test_without_a_store_nothing_is_written(lab, settings):
    settings.AUDIT_ANCHOR = ""
    checkpoint_more(lab, 1)
    assert anchor_checkpoints() == 0
    with pytest.raises(CommandError, match="AUDIT_ANCHOR"):
        call_command("anchor_checkpoints")


def test_the_command_writes_where_it_is_told(lab, tmp_path, capfdbinary):
    checkpoint_more(lab, 2)
    call_command("anchor_checkpoints", to=(tmp_path / "checkpoints.jsonl").as_uri(), stdout=StringIO())
    assert written(tmp_path / "checkpoints.jsonl") == [1, 2]
    call_command("anchor_checkpoints", to="-")
    assert capfdbinary.readouterr().out == (tmp_path / "checkpoints.jsonl").read_bytes()


@pytest.mark.parametrize("address", ["/var/checkpoints", "ftp://host/x", "s3:///prefix", "file://"])
def test_an_address_that_is_none_is_told(address):
    with pytest.raises(ImproperlyConfigured, match=r"file:///path/checkpoints.jsonl or s3://bucket/prefix"):
        destination_of(address)

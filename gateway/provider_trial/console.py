"""What a gateway under trial needs of a console: one configuration, and somebody who takes its usage."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gateway.contract import (
    CONFIG_PATH,
    REVISION_HEADER,
    USAGE_PATH,
    ConfigSnapshot,
    UsageBatch,
    UsageEventReport,
    UsageReceipt,
    decode,
    encode,
)
from gateway.contract.sealing import PUBLIC_KEY_HEADER, SEALED_KEY_HEADER, seal_key
from gateway.contract.versions import VERSION_HEADER

_POLL_SECONDS = 5.0


class TrialConsole(ThreadingHTTPServer):
    """Listens on loopback until `close`; `events` are the calls that the gateway has reported, by id."""

    daemon_threads = True

    def __init__(self, snapshot: ConfigSnapshot, credential_key: bytes, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.snapshot, self.credential_key, self.token = snapshot, credential_key, token
        self.events: dict[str, UsageEventReport] = {}
        self.heard = threading.Condition()
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address, for the gateway."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def event(self, call_id: str, seconds: float) -> UsageEventReport | None:
        """The report of a call, as soon as it is here; None if it does not come within `seconds`."""
        with self.heard:
            self.heard.wait_for(lambda: call_id in self.events, seconds)
            return self.events.get(call_id)

    def close(self) -> None:
        """Stop listening."""
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The gateway is stopped before this is."""


class _Handler(BaseHTTPRequestHandler):
    server: TrialConsole

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        snapshot = self.server.snapshot
        headers = {REVISION_HEADER: str(snapshot.revision), VERSION_HEADER: str(snapshot.contract_version)}
        if public := self.headers.get(PUBLIC_KEY_HEADER):
            headers[SEALED_KEY_HEADER] = seal_key(self.server.credential_key, public)
        if not self._is_ours() or url.path != CONFIG_PATH:
            self._answer(404)
        elif int(parse_qs(url.query)["after"][0]) >= snapshot.revision:
            self.server.closing.wait(_POLL_SECONDS)
            self._answer(204, headers=headers)
        else:
            self._answer(200, encode(snapshot), headers)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_ours():
            self._answer(404)
        elif self.path != USAGE_PATH:
            self._answer(204)
        else:
            events = decode(UsageBatch, body).events
            with self.server.heard:
                self.server.events.update({event.call_id: event for event in events})
                self.server.heard.notify_all()
            self._answer(200, encode(UsageReceipt(recorded=len(events), repeated=0, quarantined=0)))

    def _is_ours(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.server.token}"

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the command prints what matters."""

"""A provider that is a stub: a real HTTP or HTTPS server on loopback, with a certificate of a CA made for the test."""

from __future__ import annotations

import functools
import json
import ssl
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.secret_scanner import remember

GOOD_KEY = "stub-key-5a9d1f0c7b3e4826-GOOD"
WRONG_KEY = "stub-key-0000111122223333-BADD"
for _key in (GOOD_KEY, WRONG_KEY):
    # None may appear in an audit entry or a log line.
    remember(_key)
MODELS = [{"id": f"model-{n}", "object": "model"} for n in range(36)] + [{"id": "gpt-4o", "object": "model"}]


class Stub(ThreadingHTTPServer):
    """`calls` are the requests so far, as (path, headers in lower case). Set `answer` to answer otherwise."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.answer = list_models
        self.scheme = "https" if tls else "http"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/v1"

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up, or mistrust the certificate, are what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.calls.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.server.answer(self)

    def do_POST(self) -> None:
        self.server.calls.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        answer_call(self, self.rfile.read(int(self.headers.get("content-length") or 0)))

    def log_message(self, *_) -> None:
        pass

    def say(self, status: int, document: object, **headers: str) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def list_models(request: _Handler) -> None:
    """Like OpenAI: 401 with the key repeated in part, else the list; 404 for every other path."""
    said = request.headers.get("authorization", "")
    if not request.path.startswith("/v1/models"):
        request.say(404, {"error": {"message": f"Unknown request URL: GET {request.path}"}})
    elif said != f"Bearer {GOOD_KEY}":
        key = said.removeprefix("Bearer ")
        message = f"Incorrect API key provided: {key}. You can find your API key in the settings."
        request.say(401, {"error": {"message": message, "code": "invalid_api_key"}})
    else:
        request.say(200, {"object": "list", "data": MODELS})


def answer_call(request: _Handler, body: bytes) -> None:
    """Answer a chat call that is not streamed, if the key is right."""
    if request.headers.get("authorization") != f"Bearer {GOOD_KEY}":
        request.say(401, {"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}})
        return
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "A stub says hello."},
    }
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": json.loads(body)["model"],
    }
    usage = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
    request.say(200, answer | {"choices": [choice], "usage": usage})


def saying(status: int, document: object, **headers: str):
    """An answer that is always the same."""
    return lambda request: request.say(status, document, **headers)


def silence(request: _Handler) -> None:
    time.sleep(30)


def drip(request: _Handler) -> None:
    """A byte of the head every moment, so that no time-out between bytes is ever reached."""
    try:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
        for _ in range(300):
            request.wfile.write(b"a")
            request.wfile.flush()
            time.sleep(0.1)
    except OSError:
        pass


@contextmanager
def serving(tls: ssl.SSLContext | None = None):
    stub = Stub(tls)
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        stub.shutdown()
        thread.join()
        stub.server_close()


class Authority:
    """A certificate authority for one test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        own = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(True, None), critical=True
        )
        self.certificate = own.sign(self._key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _builder(self, subject, key, *, days: int = 30):
        moment = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment - timedelta(days=60))
            .not_valid_after(moment + timedelta(days=days))
        )

    def server(self, folder, *names: str, days: int = 30) -> ssl.SSLContext:
        """A server's side of TLS, with a certificate for these names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        others = [
            x509.IPAddress(ip_address(name)) if name[0].isdecimal() else x509.DNSName(name) for name in names
        ]
        certificate = (
            self._builder(subject, key, days=days)
            .add_extension(x509.SubjectAlternativeName(others), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        path = folder / f"{names[0]}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


@functools.cache
def lasting_stub() -> Stub:
    """A stub for tests that only need one to be there; it ends with the process."""
    stub = Stub()
    threading.Thread(target=stub.serve_forever, daemon=True).start()
    return stub

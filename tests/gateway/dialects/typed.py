"""Checks against the official clients' own types, and a small server for the clients to call."""

import contextlib
import functools
import json
import threading
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pydantic
from anthropic.types import message_create_params
from openai.types.chat import completion_create_params

# Anthropic's client has no longer them; its API has, for models of before and versions of before.
SAMPLING = {"temperature", "top_p", "top_k"}
# Plain, and streamed.
MESSAGES_CALLS = (
    message_create_params.MessageCreateParamsNonStreaming,
    message_create_params.MessageCreateParamsStreaming,
)
CHAT_CALLS = (
    completion_create_params.CompletionCreateParamsNonStreaming,
    completion_create_params.CompletionCreateParamsStreaming,
)


def consumed(value):
    """The value with everything that pydantic only checks when it is looked at."""
    if isinstance(value, dict):
        return {name: consumed(one) for name, one in value.items()}
    if isinstance(value, str | bytes | int | float | bool | type(None)):
        return value
    if isinstance(value, typing.Iterable):
        return [consumed(one) for one in value]
    return value


# Its iterators need the adapter, so it stays.
adapter = functools.cache(pydantic.TypeAdapter)


def require_messages_call(call):
    """The call fits the types of Anthropic's client, and has no field that they do not have."""
    known = without(call, SAMPLING)
    kind = MESSAGES_CALLS["stream" in call]
    assert consumed(adapter(kind).validate_python(known)) == known
    assert set(known) <= set(typing.get_type_hints(kind))
    return call


def require_chat_call(call):
    """The call fits the types of OpenAI's client, and has no field that they do not have."""
    kind = CHAT_CALLS["stream" in call]
    assert consumed(adapter(kind).validate_python(call)) == call
    assert set(call) <= set(typing.get_type_hints(kind))
    return call


def without(call, names):
    return {name: value for name, value in call.items() if name not in names}


def sse(*events):
    """Events as Anthropic writes them."""
    return b"".join(
        f"event: {one['type']}\ndata: {json.dumps(one, ensure_ascii=False)}\n\n".encode() for one in events
    )


def data_lines(stream):
    """The JSON of each event; `[DONE]` as text."""
    lines = [line[5:].strip() for line in stream.split(b"\n") if line.startswith(b"data:")]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


@contextlib.contextmanager
def stand_in(answer):
    """A server for an official client; yields its URL.

    `answer(path, headers, body)` returns status, headers, and a list of pieces that are sent one after another.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            status, headers, pieces = answer(self.path, self.headers, body)
            self.send_response(status)
            for name, value in {"connection": "close", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in pieces:
                self.wfile.write(piece)
                self.wfile.flush()
            self.close_connection = True

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

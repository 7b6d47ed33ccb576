"""A backend that answers every endpoint as asked, whole or streamed: whatever fails in front of it is the gateway's."""

from __future__ import annotations

import json

import orjson
from aiohttp import web

from tests.gateway import responses
from tests.gateway import test_completions_api as completions
from tests.gateway.scripted_backend import ScriptedBackend, chunk, plain
from tests.gateway.served import DRAWN, FLAGGED, JUDGED, MP3, RANKED

USAGE = {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18}
TRANSCRIPT = {"text": "Hello you", "usage": {"type": "duration", "seconds": 3}}
DONE = b"data: [DONE]\n\n"


class AnyBackend(ScriptedBackend):
    """Answers by the path and by `stream`, `n` and `input`, as far as they make sense."""

    async def _serve(self, request):
        raw = await request.read()
        self.asked.append(({}, raw))
        try:
            body = json.loads(raw)
        except ValueError:
            body = {}
        path = request.path.removeprefix("/v1/")
        if path == "audio/speech":
            return web.Response(body=b"\xff\xf3sound", headers=MP3)
        whole, events = answers(path, body if isinstance(body, dict) else {})
        if events is not None:
            lines = [
                one if isinstance(one, bytes) else b"data: " + orjson.dumps(one) + b"\n\n" for one in events
            ]
            return web.Response(body=b"".join(lines), content_type="text/event-stream")
        return web.json_response(whole)


def answers(path, body):
    """The whole answer, or the events of a stream if that was asked for."""
    is_stream = body.get("stream") is True
    if path == "chat/completions":
        choice = plain()["choices"][0]
        if is_stream:
            return None, [chunk(), chunk(choices=[], usage=USAGE), DONE]
        return plain(choices=[{**choice, "index": at} for at in range(count_of(body.get("n")))]), None
    if path == "completions":
        if is_stream:
            return None, [completions.piece(" once", end="stop"), completions.last(), completions.DONE]
        several = texts_in(body.get("prompt"))
        return completions.answer(*[" once"] * (count_of(body.get("n")) * several)), None
    if path == "responses":
        whole = responses.response(responses.MESSAGE)
        if is_stream:
            return None, [
                responses.event("response.created", 0, response=responses.response(usage=None)),
                *responses.deltas("Hello"),
                responses.event("response.completed", 9, response=whole),
            ]
        return whole, None
    if path == "embeddings":
        several = texts_in(body.get("input"))
        vectors = [{"object": "embedding", "index": at, "embedding": [1.0]} for at in range(several)]
        return {"object": "list", "data": vectors, "usage": {"prompt_tokens": 3, "total_tokens": 3}}, None
    if path == "moderations":
        given = body.get("input")
        return JUDGED | {"results": [FLAGGED] * (len(given) if isinstance(given, list) else 1)}, None
    return {"rerank": RANKED, "images/generations": DRAWN, "audio/transcriptions": TRANSCRIPT}[path], None


def count_of(wanted):
    """The number of answers that a call asks for."""
    return wanted if type(wanted) is int and 0 < wanted < 200 else 1


def texts_in(given):
    """How many texts a call gives; a list of numbers is one of them."""
    is_one = not isinstance(given, list) or all(type(one) is int for one in given)
    return 1 if is_one else len(given)

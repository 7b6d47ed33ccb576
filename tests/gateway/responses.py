"""The Responses API as its official client asks, and as a backend that is told what to say answers."""

import json
from contextlib import contextmanager

import requests

from tests.gateway.scripted_backend import OWN_NAME, scripted_backend

MODEL = "aurora-responds"


USAGE = {
    "input_tokens": 40,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens": 25,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 65,
}


KINDS = {"input": 32, "cache_read": 8, "output": 5, "reasoning": 20}


TEXT = {"type": "output_text", "text": "Hello there, friend.", "annotations": [], "logprobs": []}


MESSAGE = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [TEXT]}


CALL = {
    "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"city":"Oslo"}',
    "status": "completed",
}  # fmt: skip


WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


PICTURE = "data:image/png;base64,iVBORw0KGgo="


def response(*output, status="completed", usage=USAGE, **changes):
    whole = {
        "id": "resp_theirs", "object": "response", "created_at": 1, "status": status, "error": None, "model": OWN_NAME,
        "incomplete_details": None, "instructions": None, "metadata": {}, "output": list(output),
        "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "store": False, "previous_response_id": None,
    }  # fmt: skip
    return whole | ({"usage": usage} if usage else {}) | changes


def event(kind, number, **members):
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **members})}\n\n".encode()


def deltas(*texts):
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return [
        event("response.output_text.delta", at, delta=text, logprobs=[], **place)
        for at, text in enumerate(texts, 3)
    ]


BEGIN = [
    event("response.created", 0, response=response(status="in_progress", usage=None)),
    event("response.in_progress", 1, response=response(status="in_progress", usage=None)),
    event(
        "response.output_item.added",
        2,
        output_index=0,
        item={**MESSAGE, "content": [], "status": "in_progress"},
    ),
]


PART = event(
    "response.content_part.added",
    3,
    part={**TEXT, "text": ""},
    item_id="msg_1",
    output_index=0,
    content_index=0,
)


TEXTS = deltas("Hello ", "there, ", "friend.")


END = event("response.completed", 6, response=response(MESSAGE))


@contextmanager
def responding(rig):
    """A backend of the rig that answers with a message, until a test tells it otherwise."""
    with scripted_backend(rig, MODEL, modes=["responses"]) as backend:
        backend.says(response(MESSAGE))
        backend.client = rig.client(backend.key)
        yield backend


def ask(backend, given="Hello", **options):
    return backend.client.responses.create(model=MODEL, input=given, **options)


def post(rig, backend, body):
    headers = {"authorization": f"Bearer {backend.key}"}
    return requests.post(
        f"{rig.gateway.url}/v1/responses", json={"model": MODEL, "input": "x", **body}, headers=headers
    )

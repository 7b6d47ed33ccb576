"""What the OpenAPI document says about every route: its error responses, and that bodies have no other fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers

from core.serializers import StrictSerializer

MEDIA_TYPE: Final = "application/problem+json"
REFUSALS: Final = {
    "400": "Fields or parameters are missing or wrong; `errors` names them.",
    "401": "No token or session, or it is unknown, expired or revoked.",
    "403": "Your role, or the scope of your token, does not allow this.",
    "404": "There is no such thing, or you may not know of it.",
    "429": "Too many attempts; `Retry-After` says when to try again.",
}
REFUSED_CHANGES: Final = {
    "409": "It does not fit the current state; `code` says why.",
    "415": "The body is not JSON.",
}


class ProblemSerializer(StrictSerializer):
    """Why a request failed (RFC 9457). `code` is stable; `detail` is for people."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    request_id = serializers.CharField(help_text="Quote it when you ask for help.")
    errors = serializers.DictField(  # type: ignore[assignment]
        required=False, help_text="The errors by field."
    )


class ProblemAutoSchema(AutoSchema):
    """Adds the common error responses to what each route documents itself."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        refusals = REFUSALS | (REFUSED_CHANGES if self.method != "GET" else {})
        problem = self.resolve_serializer(ProblemSerializer, direction).ref
        for status, description in refusals.items():
            said = responses.setdefault(status, {"description": description})
            said.setdefault("content", {MEDIA_TYPE: {"schema": problem}})
        return dict(sorted(responses.items()))


def close_bodies(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Say of each object in a body that it has no other fields, as `core.serializers` refuses them.

    A hook of drf-spectacular, called with the whole document. A schema that answers share with a body is closed there,
    too.
    """
    schemas = result["components"]["schemas"]
    bodies = [
        way["requestBody"]
        for ways in result["paths"].values()
        for way in ways.values()
        if "requestBody" in way
    ]
    for schema in _objects(bodies, schemas, set()):
        schema["additionalProperties"] = False
    return result


def _objects(node: Any, schemas: dict[str, Any], seen: set[str]) -> Iterator[dict[str, Any]]:
    """Each schema with named fields in `node` and in what it refers to; `seen` are names of those already found."""
    if isinstance(node, list):
        for one in node:
            yield from _objects(one, schemas, seen)
    elif isinstance(node, dict):
        name = str(node.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            yield from _objects(schemas[name], schemas, seen)
        if isinstance(node.get("properties"), dict):
            yield node
        for value in node.values():
            yield from _objects(value, schemas, seen)

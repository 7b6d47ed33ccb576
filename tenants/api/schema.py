"""What the OpenAPI document says about every route: its error responses."""

from __future__ import annotations

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

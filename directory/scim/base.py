"""What all endpoints share: the token, reading JSON, preconditions, and errors in SCIM's format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    ValidationError,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from pydantic import ValidationError as PayloadError
from scim2_models import (
    Context,
    Error,
    InvalidSyntaxException,
    NotFoundException,
    PreconditionFailedException,
    ResponseParameters,
    SCIMException,
)
from scim2_models.messages.message import Message

from core.client_address import caller_place
from core.database_conflicts import conflict_of
from core.errors import Conflict, TooManyRequests
from core.rate_limits import limit_rate
from directory.models import ScimToken
from directory.scim.authentication import directory_of
from directory.scim.filters import is_storable
from directory.scim.payloads import PROVIDER

CONTENT_TYPE = "application/scim+json"
UNSTORABLE = "The request contains a text with a NUL or half a surrogate pair, which cannot be stored."


@method_decorator(csrf_exempt, name="dispatch")
class ScimView(View):
    """One endpoint below /scim/v2/. It answers a directory with a valid token; every other caller gets the same 401."""

    directory: ScimToken

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            token = directory_of(request)
            if token is None:
                limit_rate("token_failed", caller_place(request))
                return unknown_token()
            self.directory = token
            limit_rate("scim", str(token.pk))
            with PROVIDER:
                return super().dispatch(request, *args, **kwargs)
        except Exception as error:
            answer = answer_to(error)
            if answer is None:
                raise
            return answer

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        answer = error_answer(405, f"This address does not support {request.method}.")
        answer["Allow"] = ", ".join(name.upper() for name in self.http_method_names if hasattr(self, name))
        return answer


class Unknown(ScimView):
    """Every unknown address below /scim/v2/."""

    def not_found(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        raise NotFoundException

    get = post = put = patch = delete = not_found


def answer_to(error: Exception) -> HttpResponse | None:
    """The answer to an exception from an endpoint or an action; None if the error is our own."""
    error = conflict_of(error) or error
    if isinstance(error, SCIMException):
        return error_answer(error.status, str(error), error.scim_type)
    if isinstance(error, PayloadError):
        found = Error.from_validation_errors(error)[0]
        return error_answer(found.status or 400, found.detail or "", found.scim_type or "")
    if isinstance(error, Conflict):
        return error_answer(409, error.message, "uniqueness" if error.code == "uniqueness" else "")
    if isinstance(error, ObjectDoesNotExist | Http404):
        return error_answer(404, "There is no such resource.")
    if isinstance(error, PermissionDenied):
        return error_answer(403, str(error))
    if isinstance(error, ValidationError):
        return error_answer(400, " ".join(error.messages), "invalidValue")
    if isinstance(error, TooManyRequests):
        answer = error_answer(429, error.message)
        answer["Retry-After"] = str(error.retry_after_seconds)
        return answer
    if isinstance(error, RequestDataTooBig):
        return error_answer(413, "The request is too large. Send fewer operations at once.")
    return None


def unknown_token() -> HttpResponse:
    answer = error_answer(401, "This token is unknown, expired or revoked. Use another one.")
    answer["WWW-Authenticate"] = 'Bearer realm="quartermaster directory"'
    return answer


def error_answer(status: int, detail: str, scim_type: str = "") -> HttpResponse:
    """An error (RFC 7644, section 3.12)."""
    error = Error(status=status, detail=detail or None, scim_type=scim_type or None)
    return json_answer(error.model_dump(), status=status)


def json_answer(body: Mapping[str, Any], *, status: int = 200, version: str = "") -> HttpResponse:
    """A response with a body in SCIM's format, which no cache may store."""
    answer = HttpResponse(
        json.dumps(body, ensure_ascii=False),
        status=status,
        content_type=CONTENT_TYPE,
        headers={"Cache-Control": "no-store"},
    )
    if version:
        answer["ETag"] = version
    return answer


def message_answer(message: Message, parameters: ResponseParameters[Any] | None = None) -> HttpResponse:
    """A response with a message, such as a list, limited to the requested attributes."""
    return json_answer(
        message.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=parameters)
    )


def read_json(request: HttpRequest) -> dict[str, Any]:
    """The request's body: a JSON object that PostgreSQL can hold. Raises InvalidSyntaxException."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise InvalidSyntaxException(detail="The body is not JSON.") from error
    if not isinstance(body, dict):
        raise InvalidSyntaxException(detail="The body must be a JSON object.")
    if not is_storable(json.dumps(body, ensure_ascii=False).replace("\\u0000", "\x00")):
        raise InvalidSyntaxException(detail=UNSTORABLE)
    return body


def require_match(request: HttpRequest, version: str) -> None:
    """Raise PreconditionFailedException (412) if the caller requires another version (If-Match)."""
    wanted = request.headers.get("If-Match")
    if wanted is not None and not _names(wanted, version):
        raise PreconditionFailedException(
            detail="Someone else changed it in the meantime. Read it again, then change it."
        )


def is_unchanged(request: HttpRequest, version: str) -> bool:
    """Whether the caller already has this version (If-None-Match) and needs no body."""
    known = request.headers.get("If-None-Match")
    return known is not None and _names(known, version)


def _names(header: str, version: str) -> bool:
    """Whether a list of entity tags contains `version`. The comparison is weak, because the versions are."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or version.removeprefix("W/") in tags

"""The control plane's side of the contract with gateways (gateway/contract/): four small routes.

A long poll holds one thread of the console, and no database connection, while it waits. So at most
CONFIG_POLL_LIMIT of them wait in one console process. One more is answered with 503 and `Retry-After`; the
gateway then backs off and keeps serving. Run the console with one thread for every gateway, in addition to those
that its pages need. See docs/reconcile.md.
"""

from __future__ import annotations

import threading

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_GET, require_POST

from core.problems import plain_problem
from gateway import actions
from gateway.authentication import for_gateways
from gateway.contract import REGION_HEADER, REVISION_HEADER, Ack, ContractError, decode, encode
from gateway.contract.refusals import RefusalBatch
from gateway.contract.sealing import PUBLIC_KEY_HEADER, SEALED_KEY_HEADER, seal_key
from gateway.contract.signatures import NONCE_HEADER, SEAL_HEADER, nothing_newer
from gateway.contract.stream import CONFIG_TYPE
from gateway.contract.versions import READABLE, VERSION_HEADER, VERSIONS_HEADER, spoken_with
from gateway.ledger import MAX_BODY_BYTES, TooLarge, UnknownVersion, record_batch
from gateway.models import Gateway
from gateway.proof import NotProved
from gateway.refused import note_refused
from gateway.refused_calls import record_refusals
from gateway.revision_watch import watch
from gateway.signing import end_for, sealer_for
from gateway.snapshots import shared_snapshots
from gateway.targets import credential_key
from tenants.revision import current_revision

waiting = threading.BoundedSemaphore(settings.CONFIG_POLL_LIMIT)


@require_GET
@for_gateways
def config(request: HttpRequest, gateway: Gateway) -> HttpResponseBase:
    """Answer as soon as there is a revision greater than `after`, or with 204 after `wait` seconds.

    A gateway that accepts CONFIG_TYPE gets what changed since `after` and `state`, or else everything, sent while it
    is compiled. Any other gets a ConfigSnapshot.
    """
    after, wait = request.GET.get("after", "0"), request.GET.get("wait", "0")
    if not _is_count(after) or not _is_count(wait):
        return plain_problem(
            400, code="invalid", detail="`after` must be a revision and `wait` whole seconds."
        )
    version = spoken_with(request.headers.get(VERSIONS_HEADER))
    if version is None:
        return plain_problem(
            400,
            code="unknown_version",
            detail=f"This console speaks versions {READABLE} of the contract. Upgrade the gateway.",
        )
    wait_seconds = min(int(wait), settings.CONFIG_POLL_SECONDS)
    try:
        answer = _configuration(request, gateway, int(after), wait_seconds, version)
    except NotProved as fault:
        note_refused([fault], current_revision())
        answer = _refused(fault)
    answer[VERSION_HEADER] = str(version)
    if (public := request.headers.get(PUBLIC_KEY_HEADER)) and version > 1:
        try:
            answer[SEALED_KEY_HEADER] = seal_key(credential_key(), public)
        except ValueError:
            return plain_problem(
                400, code="invalid", detail=f"{PUBLIC_KEY_HEADER} must be an X25519 public key."
            )
    return answer


def _configuration(
    request: HttpRequest, gateway: Gateway, known: int, wait_seconds: int, version: int
) -> HttpResponseBase:
    """The answer to a request for configuration.

    Args:
        request: the request.
        gateway: who asks.
        known: the revision that it knows.
        wait_seconds: how long to wait for a newer one.
        version: of the contract.
    """
    if wait_seconds and current_revision() <= known:
        if not waiting.acquire(blocking=False):
            return _busy()
        try:
            # Or return it to the pool: no one holds a connection while waiting.
            connection.close()
            watch.wait_beyond(known, wait_seconds)
        finally:
            waiting.release()
    newest = current_revision()
    nonce = request.headers.get(NONCE_HEADER, "")
    if newest <= known:
        headers = {REVISION_HEADER: str(newest)}
        if nonce and (seal := sealer_for(gateway.name, nonce)(nothing_newer(version, newest, known))):
            headers[SEAL_HEADER] = encode(seal).decode()
        return HttpResponse(status=204, headers=headers)
    if CONFIG_TYPE not in request.headers.get("Accept", ""):
        revision, body = shared_snapshots.whole(version)
        return _json(body, {REVISION_HEADER: str(revision), "Cache-Control": "no-store"})
    answer: HttpResponseBase
    end = end_for(gateway.name, nonce)
    changes = shared_snapshots.changes(known, request.GET.get("state", ""), version)
    if changes is not None:
        message, body = changes
        newest = message.revision
        answer = HttpResponse(body + end(message), content_type=CONFIG_TYPE)
    else:
        everything = shared_snapshots.everything(known, version)
        newest = everything.revision
        answer = StreamingHttpResponse(everything.read(end), content_type=CONFIG_TYPE)
    answer[REVISION_HEADER], answer["Cache-Control"] = str(newest), "no-store"
    return answer


@require_POST
@for_gateways
def ack(request: HttpRequest, gateway: Gateway, name: str) -> HttpResponse:
    """Save the revision that a gateway serves, and its condition. A gateway can only report on itself."""
    if name not in (gateway.name, str(gateway.pk)):
        return plain_problem(
            403, code="not_permitted", detail=f"This token belongs to gateway {gateway.name}, not {name}."
        )
    try:
        message = decode(Ack, request.body)
    except ContractError as error:
        return plain_problem(400, code="invalid", detail=str(error))
    region = request.headers.get(REGION_HEADER, "")[:60]
    if not actions.acknowledge(gateway, message, region=region):
        return plain_problem(
            409,
            code="revision_unknown",
            detail=f"This console never issued revision {message.revision}. If the database was restored from a "
            "copy, raise its revision above that (docs/gateway/configuration.md).",
        )
    return HttpResponse(status=204)


@require_POST
@for_gateways
def usage(request: HttpRequest, gateway: Gateway) -> HttpResponse:
    """Enter a batch into the ledger; 200 only after the commit."""
    if int(request.headers.get("Content-Length") or 0) > MAX_BODY_BYTES:
        return plain_problem(413, code="too_large", detail=f"Send at most {MAX_BODY_BYTES} bytes at once.")
    try:
        receipt = record_batch(gateway, request.body, request.headers.get(VERSION_HEADER, "1"))
    except UnknownVersion as error:
        return plain_problem(406, code="version_unknown", detail=str(error))
    except TooLarge as error:
        return plain_problem(413, code="too_large", detail=str(error))
    except ContractError as error:
        return plain_problem(400, code="invalid", detail=str(error))
    return _json(encode(receipt), {})


def _refused(fault: NotProved) -> HttpResponse:
    """The gateway keeps serving what it has, and asks again."""
    answer = plain_problem(503, code="configuration_refused", detail=f"Not published: {fault}")
    answer["Retry-After"] = "5"
    return answer


@require_POST
@for_gateways
def refusals(request: HttpRequest, gateway: Gateway) -> HttpResponse:
    """Keep reports of refused calls; 204 after the commit."""
    if int(request.headers.get("Content-Length") or 0) > MAX_BODY_BYTES:
        return plain_problem(413, code="too_large", detail=f"Send at most {MAX_BODY_BYTES} bytes at once.")
    try:
        record_refusals(gateway, decode(RefusalBatch, request.body))
    except ContractError as error:
        return plain_problem(400, code="invalid", detail=str(error))
    return HttpResponse(status=204)


def _busy() -> HttpResponse:
    answer = plain_problem(
        503,
        code="too_many_waiting",
        detail="Too many gateways wait at this console; raise CONFIG_POLL_LIMIT and its threads.",
    )
    answer["Retry-After"] = "1"
    return answer


def _json(body: bytes, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(body, content_type="application/json", headers=headers)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18

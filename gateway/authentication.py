"""Authentication of gateways, each by its own token."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase
from django.utils.timezone import now
from django.views.decorators.csrf import csrf_exempt

from core.problems import plain_problem
from core.scope import platform_scope
from core.secrets import GATEWAY_TOKEN, digest, looks_like
from gateway.models import Gateway

# `last_seen_at` is written at most this often.
SEEN_EVERY = timedelta(seconds=5)

View = Callable[..., HttpResponseBase]


def for_gateways(view: View) -> View:
    """Call `view` with the request and the calling gateway; answer 401 for a missing, unknown or revoked token.

    It reads no cookie, so no request can be forged.
    """

    @csrf_exempt
    @wraps(view)
    def entry_point(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        gateway = _gateway_of(request)
        if gateway is None:
            answer = plain_problem(
                401, "This gateway token is unknown or revoked. Register the gateway, or renew its token."
            )
            answer["WWW-Authenticate"] = 'Bearer realm="quartermaster gateways"'
            return answer
        with platform_scope(f"gateway {gateway.name}", is_routine=True):
            return view(request, gateway, *args, **kwargs)

    return entry_point


def _gateway_of(request: HttpRequest) -> Gateway | None:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not looks_like(GATEWAY_TOKEN, secret):
        return None
    gateway = Gateway.objects.in_service().filter(digest=digest(secret)).first()
    if gateway is not None:
        moment = now()
        Gateway.objects.filter(pk=gateway.pk).filter(
            Q(last_seen_at=None) | Q(last_seen_at__lt=moment - SEEN_EVERY)
        ).update(last_seen_at=moment)
    return gateway

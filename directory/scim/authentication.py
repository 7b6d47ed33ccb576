"""Identify the directory that sends a request by its bearer token (`qms_…`) alone."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Q
from django.http import HttpRequest
from django.utils.timezone import now

from core.secrets import SCIM_TOKEN, digest, looks_like
from directory.models import ScimToken

# A token's last use is written at most this often.
SEEN_EVERY = timedelta(minutes=1)


def directory_of(request: HttpRequest) -> ScimToken | None:
    """The token in the Authorization header; None if it is absent, unknown, unconfirmed, expired or revoked.

    Cookies are ignored, so other sites cannot forge a request.
    """
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not looks_like(SCIM_TOKEN, secret):
        return None
    moment = now()
    usable = ScimToken.objects.filter(confirmed_at__isnull=False, revoked_at=None, expires_at__gt=moment)
    token = usable.filter(digest=digest(secret)).first()
    if token is not None:
        ScimToken.objects.filter(pk=token.pk).filter(
            Q(last_used_at=None) | Q(last_used_at__lt=moment - SEEN_EVERY)
        ).update(last_used_at=moment)
    return token

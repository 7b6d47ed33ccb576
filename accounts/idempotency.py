"""A POST with an `Idempotency-Key` runs once; a repetition gets the same answer.

The answer is stored per user and key, in the transaction of the action. The same key with another body is a
Conflict. Only successful answers are kept: after an error the client may try the same key again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import IdempotencyRecord
from accounts.permissions import signed_in
from core.errors import Conflict
from core.scope import platform_scope

LONGEST_KEY = 200
# Clients repeat a request sooner than this.
KEPT_FOR = timedelta(days=2)


def idempotent(request: Request, action: Callable[[], Response]) -> Response:
    """Run `action`, or return its earlier answer. Without the header, always run it."""
    key = request.headers.get("Idempotency-Key", "")
    if not key:
        return action()
    if len(key) > LONGEST_KEY:
        raise ValidationError(
            {"Idempotency-Key": [_("Use at most %(most)d characters.") % {"most": LONGEST_KEY}]}
        )
    user = signed_in(request)
    # A token bound to one tenant never gets an answer about another tenant.
    where = user.only_tenant_id or ""
    digest = hashlib.sha256(
        f"{where}{request.path}\n{json.dumps(request.data, sort_keys=True)}".encode()
    ).hexdigest()
    with transaction.atomic():
        # Concurrent requests with the same key run one after the other.
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{user.pk}:{key}"])
        stored = IdempotencyRecord.objects.filter(user=user, key=key).first()
        if stored is not None and stored.digest != digest:
            raise Conflict(
                _("This Idempotency-Key was used with another request. Use a new one."),
                code="idempotency_key_reused",
            )
        if stored is not None:
            return Response(stored.body, status=stored.status, headers={"Idempotent-Replay": "true"})
        response = action()
        body: Any = json.loads(json.dumps(response.data, default=str))
        IdempotencyRecord.objects.create(
            user=user, key=key, digest=digest, status=response.status_code, body=body
        )
        return response


def clear_idempotency_records() -> int:
    """Delete answers older than KEPT_FOR; return their number. Safe to repeat."""
    with platform_scope("sweep of idempotency records"):
        return IdempotencyRecord.objects.filter(at__lt=now() - KEPT_FOR).delete()[0]

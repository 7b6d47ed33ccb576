"""Answers of the HTTP API, kept so that a repeated POST gets the same answer."""

from __future__ import annotations

from django.db import models
from django.db.models import UniqueConstraint
from django.utils.timezone import now

from accounts.models.people import User
from core.ids import uuid7


class IdempotencyRecord(models.Model):
    """The HTTP API's answer to a POST with an Idempotency-Key."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    # SHA-256 of path and body: the same key means the same request.
    digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    # The answer's JSON as sent, in the format of the route.
    body = models.JSONField()
    at = models.DateTimeField(default=now, editable=False)

    class Meta:
        constraints = [UniqueConstraint(fields=["user", "key"], name="idempotency_record_once")]

    def __str__(self) -> str:
        return self.key

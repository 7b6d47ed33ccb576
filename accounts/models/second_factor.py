"""A person's second factor besides the password: an authenticator app, and codes in case they lose it."""

from __future__ import annotations

from django.db import models
from django.db.models import UniqueConstraint
from django.utils.timezone import now

from accounts.models.people import User
from core.ids import uuid7


class SecondFactor(models.Model):
    """A person's authenticator app (TOTP, RFC 6238). The row exists once the app has shown a first correct code."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.OneToOneField(User, models.CASCADE, related_name="second_factor")
    secret = models.BinaryField(editable=False)  # encrypted (core/encryption.py)
    # Time step of the newest code used; it and older ones are rejected.
    last_step = models.BigIntegerField()
    # Wrong codes since the last correct one.
    failures = models.PositiveSmallIntegerField(default=0)
    # After wrong codes, no code is accepted until then.
    refused_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=now, editable=False)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"authenticator of {self.user}"


class RecoveryCode(models.Model):
    """One of a few codes that replace the authenticator, once each; shown once, stored as a digest."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    second_factor = models.ForeignKey(SecondFactor, models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64, editable=False)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [UniqueConstraint(fields=["second_factor", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"recovery code of {self.second_factor.user}"

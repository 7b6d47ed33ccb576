"""What people write to each other about an access request."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import CheckConstraint, Index, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from catalog.models.requests import AccessRequest, Review
from core.ids import uuid7
from core.tenant_managers import TenantOwned


class RequestComment(TenantOwned):
    """One comment on a request. The requester's tenant and the reviewers see the same ones; none is changed later."""

    class Capacity(models.TextChoices):
        MEMBER = "member", _("Member of the tenant")
        REVIEWER = "reviewer", _("Reviewer")
        EMERGENCY = "emergency", _("With emergency access")

    visible_to_staff = Review.visible_to_staff

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    access_request = models.ForeignKey(
        AccessRequest, models.PROTECT, verbose_name=_("access request"), related_name="comments"
    )
    author = models.ForeignKey(User, models.PROTECT, verbose_name=_("author"), related_name="+")
    # What the author was to the request when they wrote; a role may end later.
    capacity = models.CharField(_("capacity"), max_length=12, choices=Capacity)
    text = models.TextField(_("text"), max_length=4000)
    # Ids of the people whom the text names and who could see the request then.
    mentions = ArrayField(models.UUIDField(), verbose_name=_("mentions"), default=list, blank=True)
    at = models.DateTimeField(_("at"), default=now, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = _("comment")
        verbose_name_plural = _("comments")
        constraints = [CheckConstraint(name="request_comment_says_something", condition=~Q(text=""))]
        indexes = [Index(fields=["access_request", "-id"], name="request_comment_newest")]

    def __str__(self) -> str:
        return f"{self.author}: {self.text[:60]}"

"""Teams of reviewers: named groups of people, who share the review scopes of their team."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _

from core.ids import uuid7
from core.names import NameField, one_line


class ReviewTeam(models.Model):
    """A team of reviewers. Its people are the members of its group, which may hold review scopes.

    The group has a name that no staff role has, whatever people call the team.
    """

    EDITABLE: ClassVar[tuple[str, ...]] = ("name",)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = NameField(_("name"), max_length=60, unique=True)
    group = models.OneToOneField(Group, models.PROTECT, related_name="review_team", editable=False)

    class Meta:
        verbose_name = _("review team")
        verbose_name_plural = _("review teams")
        constraints = [one_line("name", of="review_team")]

    def __str__(self) -> str:
        return self.name

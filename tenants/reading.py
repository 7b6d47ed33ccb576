"""Whose rows a request looks at: noted while it is answered, for what staff read (tenants/staff_reads.py)."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models


@dataclass
class Reading:
    """The tenants whose rows one request has asked for."""

    tenants: set[UUID] = field(default_factory=set)
    page_of: UUID | None = None  # a page of this tenant: then it alone was read
    is_across: bool = False  # a question over all tenants

    def found(self) -> set[UUID | None]:
        """The one tenant that was read; None stands for several."""
        if self.page_of is not None:
            return {self.page_of}
        if self.is_across or len(self.tenants) > 1:
            return {None}
        return set(self.tenants)


current_reading: ContextVar[Reading | None] = ContextVar("current_reading", default=None)


def note_tenant(tenant_id: UUID | None) -> None:
    """Note that rows of this tenant are asked for. Outside of a request nothing happens."""
    if tenant_id is not None and (reading := current_reading.get()) is not None:
        reading.tenants.add(tenant_id)


def note_page_of(tenant_id: UUID) -> None:
    """Note that the whole page is this tenant's."""
    if (reading := current_reading.get()) is not None:
        reading.page_of = tenant_id


def note_all_tenants() -> None:
    """Note a question over all tenants."""
    if (reading := current_reading.get()) is not None:
        reading.is_across = True


class Noted(models.Model):
    """A row that notes whose it is when it is loaded."""

    tenant_column: ClassVar[str] = "tenant_id"

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        row = super().from_db(*args, **kwargs)
        if current_reading.get() is not None:
            note_tenant(row.__dict__.get(cls.tenant_column))
        return row

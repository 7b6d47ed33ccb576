"""Note whose rows a request reads, for the record of what staff read (audit/staff_reads.py)."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models


@dataclass
class Reading:
    """The tenants whose rows one request has read: only their ids, no contents."""

    tenants: set[UUID] = field(default_factory=set)
    # People belong to no tenant as rows, but are members of tenants.
    people: set[UUID] = field(default_factory=set)
    # The tenant of the page, if any; then only this tenant counts as read.
    page_of: UUID | None = None

    def found(self) -> set[UUID]:
        """The ids of the tenants that were read."""
        return {self.page_of} if self.page_of is not None else set(self.tenants)


current_reading: ContextVar[Reading | None] = ContextVar("current_reading", default=None)


def note_tenant(tenant_id: UUID | None) -> None:
    """Note that the request reads rows of this tenant. Does nothing outside a request."""
    if tenant_id is not None and (reading := current_reading.get()) is not None:
        reading.tenants.add(tenant_id)


def note_person(person_id: UUID | None) -> None:
    """Note that the request reads the row of a person."""
    if person_id is not None and (reading := current_reading.get()) is not None:
        reading.people.add(person_id)


def note_page_of(tenant_id: UUID) -> None:
    """Note that the whole page belongs to this tenant."""
    if (reading := current_reading.get()) is not None:
        reading.page_of = tenant_id


class Noted(models.Model):
    """A row that, when loaded, notes its tenant and the person it is about."""

    tenant_column: ClassVar[str] = "tenant_id"
    # For rows about a person, who is a member of tenants but not a row of one.
    person_column: ClassVar[str] = ""

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        row = super().from_db(*args, **kwargs)
        if current_reading.get() is not None:
            note_tenant(row.__dict__.get(cls.tenant_column))
            note_person(row.__dict__.get(cls.person_column))
        return row

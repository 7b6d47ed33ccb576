"""Whose rows a request looks at: noted while it is answered, for what staff read (audit/staff_reads.py)."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models


@dataclass
class Reading:
    """The tenants whose rows one request has asked for: their ids, and nothing of the rows."""

    tenants: set[UUID] = field(default_factory=set)
    # Who are nobody's rows, but members of tenants.
    people: set[UUID] = field(default_factory=set)
    # A page of this tenant: then it alone was read.
    page_of: UUID | None = None

    def found(self) -> set[UUID]:
        """The tenants that were read, each by its id."""
        return {self.page_of} if self.page_of is not None else set(self.tenants)


current_reading: ContextVar[Reading | None] = ContextVar("current_reading", default=None)


def note_tenant(tenant_id: UUID | None) -> None:
    """Note that rows of this tenant are asked for. Outside of a request nothing happens."""
    if tenant_id is not None and (reading := current_reading.get()) is not None:
        reading.tenants.add(tenant_id)


def note_person(person_id: UUID | None) -> None:
    """Note that the row of a person is asked for."""
    if person_id is not None and (reading := current_reading.get()) is not None:
        reading.people.add(person_id)


def note_page_of(tenant_id: UUID) -> None:
    """Note that the whole page is this tenant's."""
    if (reading := current_reading.get()) is not None:
        reading.page_of = tenant_id


class Noted(models.Model):
    """A row that notes whose it is, and of which person, when it is loaded."""

    tenant_column: ClassVar[str] = "tenant_id"
    # Of rows that say something of a person: a member of tenants, but no row of theirs.
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

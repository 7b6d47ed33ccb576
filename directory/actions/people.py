"""People that the organization's directory provisions (SCIM)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from core.addresses import read_address, read_mail_address
from core.errors import Conflict
from core.names import clean_name
from core.scope import platform_scope
from directory.actions.due_group_mappings import follow, note_group_mappings_due
from directory.models import DirectoryGroup, DirectoryPerson
from directory.scope import PersonFacts, entry_of, facts_of, people
from tenants.actions.people import deactivate_person, lock_owned_tenants, reactivate_person

SCOPE = "a directory's word holds for the whole platform"
LONGEST = {"external_id": 200, "email": 254, "work_email": 254}
LONGEST_NAME = 150

Edit = Callable[[User], PersonFacts]


def provision_person(facts: PersonFacts, *, directory: str) -> User:
    """Add a person from the directory. They sign in by OpenID Connect, never with a password.

    A person whom the directory deleted earlier comes back under their old id, with whatever they may still hold. If
    the directory's own id differs, the address now belongs to someone else: a new person is created, and the former
    person keeps their history but loses the address.

    Raises:
        Conflict: (uniqueness) the address is taken.
        ValidationError: the address is not valid, or a value is too long.
    """
    _check(facts)
    with speaking_for_a_directory():
        former = User.objects.select_for_update(no_key=True, of=("self",)).filter(email=facts.email).first()
        if former is not None and not _was_removed(former):
            raise _taken(facts.email)
        if former is not None and _is_somebody_else(former, facts):
            _free_address(former, directory)
            former = None
        user = _revive(former, facts, directory) if former else _create(facts, directory)
    follow([user.pk])
    return user


def change_person(pk: UUID | str, edit: Edit, *, directory: str) -> User:
    """Update a person from the directory. Safe to repeat: the same facts change nothing.

    Args:
        edit: takes the locked person and returns the new facts; an exception from it cancels the change.

    Raises:
        User.DoesNotExist: the directory knows no such person.
        Conflict: (uniqueness) the new address is taken.
        ValidationError: the address is not valid, or a value is too long.
    """
    with speaking_for_a_directory():
        user = locked_person(pk)
        before = facts_of(user)
        after = edit(user)
        if after == before:
            return user
        _check(after)
        if after.email != before.email:
            _make_free(after.email, directory)
        if replace(after, is_active=before.is_active) != before:
            _write(user, before, after, directory)
        if after.is_active != before.is_active:
            _let_in_or_out(user, after.is_active, directory)
    follow([user.pk])
    return user


def deprovision_person(pk: UUID | str, *, directory: str, check: Callable[[User], object]) -> None:
    """Deactivate a person whom the directory deleted, and remove them from its groups.

    The directory no longer sees them. The row stays, because the ledger and the audit log refer to it.

    Args:
        check: takes the locked person; an exception from it cancels the action.

    Raises:
        User.DoesNotExist: the directory knows no such person.
    """
    with speaking_for_a_directory():
        user = locked_person(pk)
        check(user)
        deactivate_person(user, by=None, reason=reason_of(directory))
        groups = list(DirectoryGroup.objects.filter(members=user).select_for_update().order_by("pk"))
        user.directory_groups.clear()
        DirectoryGroup.objects.filter(pk__in=[group.pk for group in groups]).update(changed_at=now())
        DirectoryPerson.objects.update_or_create(
            user=user,
            defaults={"removed_at": now(), "changed_at": now()},
            create_defaults={"removed_at": now(), "display_name": user.name},
        )
        note_group_mappings_due([user.pk], reason=reason_of(directory))
        audit.record(
            "person.deprovisioned",
            actor=None,
            subject=user,
            directory=directory,
            groups=[group.display_name for group in groups],
        )
    follow([user.pk])


def locked_person(pk: UUID | str) -> User:
    """Return a person whom the directory may change, locked until commit with the tenants they own.

    Raises User.DoesNotExist for anyone else.
    """
    lock_owned_tenants(pk)
    rows = people().select_related("directory_entry").prefetch_related("directory_groups")
    return rows.select_for_update(of=("self",), no_key=True).get(pk=pk)


@contextmanager
def speaking_for_a_directory() -> Iterator[None]:
    """Open one transaction over the rows of every tenant; the audit log attributes its actions to a directory."""
    with platform_scope(SCOPE), audit.acting("directory"), transaction.atomic():
        yield


def reason_of(directory: str) -> str:
    """The reason recorded for a directory's actions."""
    return _("The directory (%(name)s) said so.") % {"name": directory}


def _write(user: User, before: PersonFacts, after: PersonFacts, directory: str) -> None:
    user.email, user.external_id = after.email, after.external_id
    user.name = _shown(after)
    try:
        with transaction.atomic():
            user.save(update_fields=["email", "external_id", "name"])
    except IntegrityError as error:  # someone else was faster
        raise _taken(after.email) from error
    _write_entry(user, after)
    old, new = asdict(before), asdict(after)
    changes = {name: (old[name], new[name]) for name in old if old[name] != new[name] and name != "is_active"}
    audit.record("person.changed", actor=None, subject=user, directory=directory, changes=changes)


def _write_entry(user: User, facts: PersonFacts) -> None:
    entry = entry_of(user) or DirectoryPerson(user=user)
    entry.given_name, entry.family_name = facts.given_name, facts.family_name
    entry.formatted_name, entry.display_name = facts.formatted_name, facts.display_name
    entry.work_email, entry.changed_at, entry.removed_at = facts.work_email, now(), None
    entry.save()
    user.directory_entry = entry


def _let_in_or_out(user: User, is_active: bool, directory: str) -> None:
    if is_active:
        reactivate_person(user, by=None, reason=reason_of(directory))
    else:
        deactivate_person(user, by=None, reason=reason_of(directory))


def _create(facts: PersonFacts, directory: str) -> User:
    try:
        with transaction.atomic():
            user = User.objects.create_user(
                facts.email, name=_shown(facts), external_id=facts.external_id, is_active=facts.is_active
            )
    except IntegrityError as error:  # someone else was faster
        raise _taken(facts.email) from error
    _write_entry(user, facts)
    audit.record("person.provisioned", actor=None, subject=user, directory=directory)
    return user


def _revive(user: User, facts: PersonFacts, directory: str) -> User:
    before = facts_of(user)
    _write(user, before, replace(facts, external_id=facts.external_id or before.external_id), directory)
    audit.record("person.provisioned", actor=None, subject=user, directory=directory, again=True)
    if facts.is_active:
        reactivate_person(user, by=None, reason=reason_of(directory))
    return user


def _make_free(email: str, directory: str) -> None:
    """Free an address that a deleted person holds. Raises Conflict if its holder was not deleted by the directory."""
    holder = User.objects.select_for_update(no_key=True, of=("self",)).filter(email=email).first()
    if holder is None:
        return
    if not _was_removed(holder):
        raise _taken(email)
    _free_address(holder, directory)


def _free_address(former: User, directory: str) -> None:
    """Take the address from a person whom the directory deleted, so that someone else can have it."""
    before, former.email = former.email, f"{former.pk}@former.invalid"
    former.save(update_fields=["email"])
    audit.record(
        "person.address_freed",
        actor=None,
        subject=former,
        directory=directory,
        changes={"email": (before, former.email)},
    )


def _was_removed(user: User) -> bool:
    entry = entry_of(user)
    return (
        entry is not None
        and entry.removed_at is not None
        and not user.is_superuser
        and user.erased_at is None
    )


def _is_somebody_else(former: User, facts: PersonFacts) -> bool:
    """Whether the directory's own ids show that the address of a deleted person now belongs to someone else."""
    return bool(former.external_id and facts.external_id and former.external_id != facts.external_id)


def _taken(email: str) -> Conflict:
    return Conflict(_("The userName %(email)s is taken.") % {"email": email}, code="uniqueness")


def _shown(facts: PersonFacts) -> str:
    return clean_name(facts.name, LONGEST_NAME)


def _check(facts: PersonFacts) -> None:
    try:
        read_mail_address(facts.email)
    except ValidationError as error:
        raise ValidationError(
            _("userName must be the e-mail address with which the person signs in; map it to that.")
        ) from error
    if facts.work_email:
        read_address(facts.work_email)
    for name, value in asdict(facts).items():
        longest = LONGEST.get(name, LONGEST_NAME)
        if isinstance(value, str) and len(value) > longest:
            raise ValidationError(
                _("%(name)s is longer than %(longest)d characters.") % {"name": name, "longest": longest}
            )

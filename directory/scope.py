"""What the organization's directory (SCIM) may see here, and how it sees people."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts.models import User
from directory.models import DirectoryPerson, FederatedIdentity


@dataclass(frozen=True)
class PersonFacts:
    """A person as the directory describes them. Fields that it leaves out are empty."""

    # The address they sign in with, in lower case.
    email: str
    is_active: bool = True
    external_id: str = ""
    given_name: str = ""
    family_name: str = ""
    formatted_name: str = ""
    display_name: str = ""
    work_email: str = ""

    @property
    def name(self) -> str:
        """The name that pages show."""
        return self.display_name or self.formatted_name or f"{self.given_name} {self.family_name}".strip()


def people() -> QuerySet[User]:
    """The people a directory may see and change.

    These exclude superusers, service accounts, erased people, people it deleted, and local accounts. A local account
    has a password, did not come from a directory, and has never signed in by OpenID Connect. A directory therefore
    cannot lock out the people who must get in when it is broken.
    """
    has_no_password = Q(password="") | Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    is_known = Exists(FederatedIdentity.objects.filter(user=OuterRef("pk")))
    is_provisioned = Exists(DirectoryPerson.objects.filter(user=OuterRef("pk")))
    return User.objects.filter(
        has_no_password | is_known | is_provisioned,
        is_superuser=False,
        service_of=None,
        erased_at=None,
        directory_entry__removed_at=None,
    )


def entry_of(user: User) -> DirectoryPerson | None:
    """The directory's entry for `user`, if there is one."""
    found: DirectoryPerson | None = getattr(user, "directory_entry", None)
    return found


def facts_of(user: User) -> PersonFacts:
    """`user` as the directory last described them."""
    entry = entry_of(user) or DirectoryPerson(display_name=user.name)
    return PersonFacts(
        email=user.email,
        is_active=user.is_active,
        external_id=user.external_id,
        given_name=entry.given_name,
        family_name=entry.family_name,
        formatted_name=entry.formatted_name,
        display_name=entry.display_name,
        work_email=entry.work_email,
    )

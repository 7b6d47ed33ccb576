"""manage.py erase_person: erase a person. Costs and the audit log can still be verified."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from accounts.models import User
from core.addresses import address_or_none
from core.errors import Conflict
from privacy.personal_data import erase_person


class Command(BaseCommand):
    help = (
        "Erase a person: delete what belongs to them, and put a pseudonym in place of their name. "
        "This cannot be undone."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument(
            "--reason", required=True, help="stays in the audit log; must not name the person"
        )
        parser.add_argument(
            "--keys-to", metavar="EMAIL", help="new owner of their keys, where that person's role allows them"
        )
        parser.add_argument("--yes", action="store_true", help="skip the confirmation")

    def handle(
        self, *args: Any, email: str, reason: str, keys_to: str | None, yes: bool, **options: Any
    ) -> None:
        user = self.find(email)
        new_owner = self.find(keys_to) if keys_to else None
        if (
            not yes
            and input(f"Erase {user.email} permanently? Enter the address again: ").strip() != user.email
        ):
            raise CommandError("Nothing was erased.")
        try:
            erased = erase_person(user.pk, by=None, reason=reason, keys_to=new_owner)
        except Conflict as conflict:
            raise CommandError(conflict.message) from None
        except ValidationError as invalid:
            raise CommandError(" ".join(invalid.messages)) from None
        self.stdout.write(
            f"Erased as {erased.token}: {erased.entries} audit entries, {erased.memberships} memberships, "
            f"{erased.keys_revoked} keys revoked, {erased.keys_handed_over} transferred."
        )

    def find(self, email: str) -> User:
        user = User.objects.filter(email=address_or_none(email)).first()
        if user is None:
            raise CommandError(f"Nobody has the address {email}.")
        return user

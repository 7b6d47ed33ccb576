"""What people do with their own account, which belongs to no tenant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

import audit
from accounts.models import User
from accounts.outbox.choices import channels_of, events_for, switch_of
from core.local_days import zones_to_choose
from core.scope import platform_scope


def record_own(verb: str, user: User, **details: Any) -> None:
    """Append the audit entry. It has no tenant, so it lies outside the request's scope, the person's tenants."""
    with platform_scope("an action on one's own account is written down", is_routine=True):
        audit.record(verb, actor=user, subject=user, **details)


@transaction.atomic
def choose_single_keys(user: User, *, work: bool) -> None:
    """Let keys without Ctrl or Cmd do something on this person's pages, or nothing. Safe to repeat."""
    if user.single_keys == work:
        return
    user.single_keys = work
    user.save(update_fields=["single_keys"])
    record_own("person.single_keys_chosen", user, changes={"single_keys": (not work, work)})


@transaction.atomic
def choose_notifications(user: User, *, muted: Iterable[str]) -> None:
    """Tell this person no longer what `muted` names, and everything else. Safe to repeat.

    Args:
        muted: names of choices (accounts/outbox/choices.py); unknown ones are ignored.
    """
    offered = {switch_of(event, channel) for event in events_for(user) for channel in channels_of(event)}
    before, after = sorted(user.muted), sorted(offered & {*muted})
    if before == after:
        return
    user.muted = after
    user.save(update_fields=["muted"])
    record_own("person.notifications_chosen", user, changes={"muted": (before, after)})


@transaction.atomic
def choose_digest(user: User, *, hour: int | None, time_zone: str) -> None:
    """Send this reviewer each day at this hour what waits for them. Safe to repeat.

    Args:
        hour: from 0 to 23; None: never.
        time_zone: an IANA name; "": UTC.

    Raises ValidationError for an hour or a time zone that there is not.
    """
    if hour is not None and not 0 <= hour <= 23:
        raise ValidationError({"digest_hour": [_("Choose an hour.")]})
    if time_zone and time_zone not in zones_to_choose():
        raise ValidationError({"time_zone": [_("Use an IANA name, such as Europe/Berlin.")]})
    wanted = {"digest_hour": hour, "time_zone": time_zone}
    changes = {field: (getattr(user, field), value) for field, value in wanted.items()}
    if all(before == after for before, after in changes.values()):
        return
    user.digest_hour, user.time_zone = hour, time_zone
    user.save(update_fields=list(wanted))
    record_own("person.digest_chosen", user, changes=changes)


@transaction.atomic
def choose_language(user: User, language: str) -> None:
    """Show pages and send mail in this language from now on. Safe to repeat.

    Args:
        language: as in settings.LANGUAGES; "": pages as the browser asks, mail in English.

    Raises ValidationError for a language that the console does not speak.
    """
    if language and language not in dict(settings.LANGUAGES):
        raise ValidationError(_("Choose one of the languages in the list."))
    if user.language == language:
        return
    before, user.language = user.language, language
    user.save(update_fields=["language"])
    record_own("person.language_chosen", user, changes={"language": (before, language)})

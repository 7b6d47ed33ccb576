"""Why keys and tokens are suspended or revoked, and what webhooks ran into.

Stored in English, said in the language of the reader.
"""

from __future__ import annotations

from django.utils.translation import gettext_noop

from core.stored_words import StoredSentence
from tenants.roles import Role


def _role(value: str) -> object:
    return Role(value).label if value in Role.values else value


ROLE_IS_NOW = StoredSentence(gettext_noop("Their role in %(place)s is %(role)s now."), role=_role)
NO_ROLE_OF_THEIR_OWN = StoredSentence(gettext_noop("They no longer have a role of their own in %(place)s."))
ACCOUNT_IS_DISABLED = StoredSentence(gettext_noop("The service account is disabled."))
ANSWERABLE_HAS_LEFT = StoredSentence(gettext_noop("The person who answered for it has left."))
OWNER_IS_ERASED = StoredSentence(gettext_noop("Its owner was erased."))
WAS_REMOVED = StoredSentence(gettext_noop("%(person)s was removed"))
IS_NO_LONGER_A_MEMBER = StoredSentence(gettext_noop("%(person)s is no longer a member"))
TENANT_IS_CLOSED = StoredSentence(gettext_noop("tenant closed"))
ISSUER_MAY_NOT = StoredSentence(
    gettext_noop("The person who issued this token may not create such tokens now: %(reason)s")
)

RECEIVER_ANSWERED = StoredSentence(gettext_noop("The receiver answered with status %(status)s."))
RECEIVER_REDIRECTS = StoredSentence(
    gettext_noop(
        "The receiver redirects (status %(status)s). Redirects are not followed; enter the final address."
    )
)
RECEIVER_IS_SLOW = StoredSentence(gettext_noop("The receiver did not answer within %(seconds)s seconds."))
RECEIVER_IS_AWAY = StoredSentence(gettext_noop("There is no connection to the receiver (%(kind)s)."))
ADDRESS_IS_CLOSED = StoredSentence(
    gettext_noop("The address leads to a network that webhooks may not reach (%(code)s).")
)
SECRET_IS_LOST = StoredSentence(gettext_noop("The secret cannot be decrypted any more. Rotate it."))
WEBHOOK_IS_DISABLED = StoredSentence(gettext_noop("The webhook was disabled."))

"""Why a message could not be sent: stored in English, said in the language of the reader."""

from __future__ import annotations

from django.utils.translation import gettext_noop

from core.stored_words import StoredSentence

MAIL_IS_REFUSED = StoredSentence(gettext_noop("The mail server refused the mail (%(kind)s)."))
MAIL_SERVER_IS_AWAY = StoredSentence(gettext_noop("The mail server did not answer (%(kind)s)."))
CANNOT_BE_WRITTEN = StoredSentence(gettext_noop("The message could not be written (%(kind)s)."))
CHAT_REFUSES = StoredSentence(gettext_noop("The chat service did not take the message."))
CHAT_IS_CLOSED = StoredSentence(
    gettext_noop("The address of the chat service leads into a network that may not be reached (%(code)s).")
)
SENDER_DIED = StoredSentence(gettext_noop("Every attempt ended before its result was recorded."))

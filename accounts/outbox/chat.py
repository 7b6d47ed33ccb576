"""Telling people in a chat: which addresses there are, and how a message gets there (by Apprise).

An address is a URL that a service gave the person. We read it by a pattern of that service, with its host, and give
Apprise only the parts: an address of Apprise's own could name files, programs and hosts of our network, and a query
could name a template to read. Redirects are not followed.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import structlog
from django.conf import settings

from accounts.mail import in_language_of
from accounts.models import ChatChannel, OutboxMessage
from accounts.outbox.events import event_named
from accounts.outbox.sending import (
    LONGEST_RUN,
    State,
    claim,
    is_wanted,
    only_sender,
    postpone,
    record,
    scope_of,
)
from accounts.stored_sentences import CANNOT_BE_WRITTEN, CHAT_IS_CLOSED, CHAT_REFUSES
from core.egress import EgressRefused, Networks, look_up, read_url
from core.encryption import decrypt, encrypt
from core.scope import platform_scope

log = structlog.get_logger(__name__)
Service = ChatChannel.Service
_PURPOSE: Final = "accounts.chat"
LONGEST_ADDRESS: Final = 1000
CONNECT_SECONDS: Final = 4.0
ANSWER_SECONDS: Final = 8.0

# What an address of each service looks like, to its last character.
_WORD: Final = r"[A-Za-z0-9_-]{1,200}"
PATTERNS: Final = {
    Service.SLACK: re.compile(
        rf"https://hooks\.slack\.com/services/(?P<token_a>{_WORD})/(?P<token_b>{_WORD})/(?P<token_c>{_WORD})"
    ),
    Service.TEAMS: re.compile(
        r"https://(?P<host>[a-z0-9.-]{1,200}\.(?:logic\.azure\.(?:com|us|cn)|api\.powerplatform\.com))(?::443)?"
        r"(?P<power_automate>/powerautomate/automations/direct)?"
        rf"/workflows/(?P<workflow>{_WORD})/triggers/manual/paths/invoke\?(?P<query>[A-Za-z0-9._~%&=/+-]{{1,600}})"
    ),
    Service.DINGTALK: re.compile(rf"https://oapi\.dingtalk\.com/robot/send\?access_token=(?P<token>{_WORD})"),
    Service.WECOM: re.compile(rf"https://qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key=(?P<key>{_WORD})"),
    Service.FEISHU: re.compile(rf"https://open\.feishu\.cn/open-apis/bot/v2/hook/(?P<token>{_WORD})"),
}
# So that no name of a person or tenant becomes a mention or a link of the service.
_HARMLESS: Final = str.maketrans({"<": "‹", ">": "›", "`": "'"})


@dataclass(frozen=True)
class Note:
    """One message, in the language of its reader."""

    title: str
    body: str


def service_of(address: str) -> ChatChannel.Service | None:
    """The service to which an address belongs; None for every other address."""
    for service, pattern in PATTERNS.items():
        if (found := pattern.fullmatch(address)) and (service != Service.TEAMS or _signature(found)):
            return service
    return None


def sealed(address: str) -> bytes:
    """The address as it is stored."""
    return encrypt(address.encode(), _PURPOSE)


def _signature(found: re.Match[str]) -> str:
    (sig, *_) = parse_qs(found["query"]).get("sig", [""])
    return sig if re.fullmatch(_WORD, sig) else ""


def _plugin(service: str, address: str) -> Any:
    """What Apprise sends by. Raises ValueError for an address that is none of the service."""
    # Apprise is large, and only the worker that sends needs it.
    from apprise.plugins.dingtalk import NotifyDingTalk
    from apprise.plugins.feishu import NotifyFeishu
    from apprise.plugins.slack import NotifySlack
    from apprise.plugins.wecombot import NotifyWeComBot
    from apprise.plugins.workflows import NotifyWorkflows

    # Its lines name addresses.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    kinds = {
        Service.SLACK: NotifySlack,
        Service.TEAMS: NotifyWorkflows,
        Service.DINGTALK: NotifyDingTalk,
        Service.WECOM: NotifyWeComBot,
        Service.FEISHU: NotifyFeishu,
    }
    found = PATTERNS[Service(service)].fullmatch(address)
    if found is None:
        raise ValueError(f"This is no address of {service}.")
    parts: dict[str, Any] = found.groupdict()
    if service == Service.TEAMS:
        del parts["query"]
        parts |= {"signature": _signature(found), "power_automate": bool(parts["power_automate"])}
    if service == Service.SLACK:
        parts |= {"include_image": False, "include_footer": False}
    plugin = kinds[Service(service)](**parts)
    plugin.redirects = False
    plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT_SECONDS, ANSWER_SECONDS
    return plugin


def deliver(service: str, address: str, note: Note) -> bool:
    """Send a note; whether the service took it. Raises EgressRefused if its name leads into a network of our own."""
    look_up(read_url(f"https://{urlsplit(address).hostname}", Networks()), Networks())
    return bool(_plugin(service, address).notify(body=note.body, title=note.title, body_format="text"))


def written(message: OutboxMessage) -> Note | None:
    """The message as its recipient may read it now; None if there is nothing to tell them any more."""
    event = event_named(message.event)
    with scope_of(message):
        subject = event.find([message]).get(message.pk)
        if subject is None or not is_wanted(message, event):
            return None
        with in_language_of(event.reader(message, subject)):
            title = event.title(message, subject)
            url = f"{settings.CONSOLE_URL}{event.path(message, subject)}"
            lines = [line.translate(_HARMLESS) for line in event.lines(message, subject)]
            return Note(f"Quartermaster: {title}".translate(_HARMLESS), "\n".join([*lines, url]))


def send_chat_due() -> int:
    """Send what is due in chats, one after the other, and return how many went out; 0 if another worker is at it.

    A service that does not answer holds a message for CONNECT_SECONDS or ANSWER_SECONDS, and mail not at all.
    """
    sent, ends_at = 0, time.monotonic() + LONGEST_RUN
    with only_sender("accounts.send_chat_due") as is_ours:
        while is_ours and time.monotonic() < ends_at:
            message = claim(OutboxMessage.Channel.CHAT)
            if message is None:
                break
            sent += _attempt(message)
    return sent


def _attempt(message: OutboxMessage) -> bool:
    """Write and send one claimed message, and record the result; return whether it went out."""
    try:
        note = written(message)
        with platform_scope("where somebody is told in a chat", is_routine=True):
            channel = ChatChannel.objects.filter(user=message.user_id).first()
        if note is None or channel is None:
            record(message, State.DROPPED)
            return False
        is_taken = deliver(channel.service, decrypt(channel.ciphertext, _PURPOSE).decode(), note)
    except EgressRefused as refused:
        postpone(message, CHAT_IS_CLOSED(code=refused.code))
        return False
    except Exception as error:
        # Nobody foresaw it, or the name of the service is not known here. Not its words, which may hold the address.
        log.warning("chat_message_not_sent", message=str(message.pk), kind=type(error).__name__)
        postpone(message, CANNOT_BE_WRITTEN(kind=type(error).__name__))
        return False
    if not is_taken:
        postpone(message, CHAT_REFUSES())
        return False
    record(message, State.SENT)
    return True

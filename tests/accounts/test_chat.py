"""Being told in a chat: only addresses of known services, sent there once, and shown to nobody."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
import requests
from django.core.exceptions import ValidationError
from django.utils.timezone import now

from accounts.actions import add_chat_channel, choose_notifications, remove_chat_channel, try_chat_channel
from accounts.models import ChatChannel, OutboxMessage, User
from accounts.outbox import chat
from accounts.outbox.chat import send_chat_due, service_of
from accounts.outbox.posting import tell
from audit.models import AuditEntry
from catalog.notices import REQUEST_APPROVED
from core.scope import person_scope, platform_scope, scoped
from privacy.personal_data import export_person
from tests.factories import AccessRequestFactory
from tests.webhook_receiver import receiver

pytestmark = pytest.mark.django_db
TEAMS = "https://prod-11.westeurope.logic.azure.com:443/workflows/0a1b2c/triggers/manual/paths/invoke"
ADDRESSES = {
    "slack": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "teams": f"{TEAMS}?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=aB-3_x9",
    "dingtalk": f"https://oapi.dingtalk.com/robot/send?access_token={'ab12' * 16}",
    "wecom": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=693a91f6-7aoc-4bc4-97a0-0ec2sifa5aaa",
    "feishu": "https://open.feishu.cn/open-apis/bot/v2/hook/ee1d79c1-1a2b-4c3d-9e8f-0123456789ab",
}
ANSWERS = {"dingtalk": {"errcode": 0}, "wecom": {"errcode": 0}, "feishu": {"code": 0}}


@pytest.fixture
def outside(monkeypatch):
    """The services: what Apprise sends there arrives at a receiver of ours instead. `calls` has the true addresses."""
    send, asked = requests.Session.request, []
    with receiver() as server:

        def elsewhere(session, method, url, **options):
            asked.append((url, options["allow_redirects"], options["timeout"]))
            place = urlsplit(url)
            here = f"http://127.0.0.1:{server.server_address[1]}{place.path}"
            return send(session, method, f"{here}?{place.query}" if place.query else here, **options)

        monkeypatch.setattr(requests.Session, "request", elsewhere)
        monkeypatch.setattr(chat, "look_up", lambda destination, networks: [])
        server.asked = asked
        server.answer = lambda handler: answer(handler, server)
        server.says, server.status = b"ok", 200
        yield server


def answer(handler, server):
    handler.send_response(server.status)
    handler.send_header("content-length", str(len(server.says)))
    handler.end_headers()
    handler.wfile.write(server.says)


@pytest.fixture
def approved(lab, project, developer):
    return AccessRequestFactory(tenant=lab, project=project, requested_by=developer)


@pytest.fixture
def in_slack(developer):
    add_chat_channel(developer, address=ADDRESSES["slack"])
    return developer


def said(server):
    return [json.loads(body) for _, _, body in server.calls]


@pytest.mark.parametrize("service", ADDRESSES)
def test_each_service_gets_the_message_where_the_person_said(outside, developer, approved, lab, service):
    outside.says = json.dumps(ANSWERS[service]).encode() if service in ANSWERS else b"ok"
    channel = add_chat_channel(developer, address=ADDRESSES[service])
    assert channel.service == service
    tell(REQUEST_APPROVED, [developer], subject=approved, tenant=lab)
    assert send_chat_due() == 1
    assert send_chat_due() == 0
    ((url, follows, _),) = outside.asked
    assert urlsplit(url).hostname == urlsplit(ADDRESSES[service]).hostname
    assert url.startswith("https://")
    assert follows is False
    (body,) = said(outside)
    # Teams reads Markdown, where a backslash makes a hyphen a hyphen.
    text = json.dumps(body, ensure_ascii=False).replace("\\", "")
    assert "Quartermaster: Your request for" in text
    assert f"/t/lab/requests/{approved.pk}/" in text


def test_the_message_is_in_the_language_of_its_reader(outside, in_slack, approved, lab):
    User.objects.filter(pk=in_slack.pk).update(language="zh-hans")
    tell(REQUEST_APPROVED, [in_slack], subject=approved, tenant=lab)
    send_chat_due()
    assert "申请" in json.dumps(said(outside), ensure_ascii=False)


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "json://127.0.0.1/",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "http://hooks.slack.com/services/T1/A1/x1",
        "https://hooks.slack.com.example.org/services/T1/A1/x1",
        "https://hooks.slack.com@127.0.0.1/services/T1/A1/x1",
        "https://hooks.slack.com/services/T1/A1/x1?template=/etc/passwd",
        "https://logic.azure.com.example.org/workflows/a/triggers/manual/paths/invoke?sig=x",
        "https://example.org/.logic.azure.com/workflows/a/triggers/manual/paths/invoke?sig=x",
        f"{TEAMS}?sp=x",
        "https://oapi.dingtalk.com:8443/robot/send?access_token=a",
        "https://127.0.0.1/robot/send?access_token=a",
    ],
)
def test_other_addresses_are_none(developer, address):
    with pytest.raises(ValidationError):
        add_chat_channel(developer, address=address)
    assert not ChatChannel.objects.exists()


def test_a_query_names_no_template_to_read():
    address = f"{ADDRESSES['teams']}&template=file%3A%2F%2F%2Fetc%2Fpasswd"
    assert service_of(address) == "teams"
    assert len(chat._plugin("teams", address).template) == 0


def test_a_service_that_refuses_is_asked_again_later(outside, in_slack, approved, lab):
    outside.status = 500
    tell(REQUEST_APPROVED, [in_slack], subject=approved, tenant=lab)
    assert send_chat_due() == 0
    message = OutboxMessage.objects.get(channel="chat")
    assert (message.state, message.problem) == ("waiting", "The chat service did not take the message.")
    assert message.due_at > now()
    outside.status = 200
    OutboxMessage.objects.update(due_at=now())
    assert send_chat_due() == 1


def test_one_chooses_what_comes_there_and_removing_ends_it(outside, in_slack, approved, lab):
    choose_notifications(in_slack, muted=["access_request.approved:chat"])
    tell(REQUEST_APPROVED, [in_slack], subject=approved, tenant=lab)
    assert sorted(OutboxMessage.objects.values_list("channel", flat=True)) == ["inbox", "mail"]
    try_chat_channel(in_slack)
    remove_chat_channel(in_slack)
    assert send_chat_due() == 0
    assert OutboxMessage.objects.get(channel="chat").state == "dropped"
    tell(REQUEST_APPROVED, [in_slack], subject=approved, tenant=lab, occasion="again")
    assert OutboxMessage.objects.filter(channel="chat").count() == 1


def test_nobody_is_shown_the_address(client, outside, developer, operator):
    client.force_login(developer)
    assert client.post("/account/chat/", {"address": ADDRESSES["slack"]}).status_code == 302
    client.post("/account/chat/test/")
    send_chat_due()
    page = client.get("/account/notifications/").content.decode()
    assert "…i7FQ" in page
    assert "access_request.approved:chat" in page
    held = str([*export_person(User.objects.get(pk=developer.pk), by=operator)])
    log = str([*AuditEntry.objects.across_tenants().values_list("details", "changes", "subject_label")])
    stored = bytes(ChatChannel.objects.get().ciphertext).decode()
    for text in (page, held, log, stored):
        assert "TIiajkdnlazkcOXrIdevi7FQ" not in text
    assert "slack" in held
    client.post("/account/chat/remove/")
    assert not ChatChannel.objects.exists()


def test_a_channel_is_its_persons_alone(in_slack, finance, lab):
    with scoped(person_scope(finance.pk, [lab.pk])):
        assert not ChatChannel.objects.exists()
    with scoped(person_scope(in_slack.pk, [lab.pk])):
        assert ChatChannel.objects.count() == 1
    with platform_scope("a test"):
        assert ChatChannel.objects.count() == 1

"""What a mail says in somebody's words is quoted on one line: it carries no lines and no links of theirs."""

from __future__ import annotations

import re

import pytest
from django.core import mail

from accounts.mail import compose, quoted
from accounts.models import User
from accounts.outbox.sending import send_mail_due
from tenants.actions import invite
from tenants.models import Tenant

pytestmark = pytest.mark.django_db
LINK = re.compile(r"https?://[^\s\"<>]+|www\.\S+|\b[\w.-]+@[\w.-]+|\b[\w-]+\.(?:com|example|org)\b")

HOSTILE = [
    "Quartermaster Security: open https://evil.example/x",
    "Lab” on Quartermaster. Open www.evil.com at once “",
    'Lab" evil.com',
    "Lab http://evil/x",
    "mail eve@evil.com",
    "evil。com ｅvil．com evil․com",
    "x" * 120,
    "{{ url }} %(url)s <a href='https://evil.example'>Accept</a>",
]


def invitation_mail(tenant, inviter):
    invite(tenant, "nia@newcomer.org", "viewer", by=inviter)
    assert send_mail_due()
    return mail.outbox[-1]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_invitation_has_our_link_alone_whatever_people_call_themselves(lab, owner, name):
    Tenant.objects.filter(pk=lab.pk).update(name=name)
    User.objects.filter(pk=owner.pk).update(name=name)
    owner.refresh_from_db()
    message = invitation_mail(lab, owner)
    text, html = message.body, message.alternatives[0][0]
    links = LINK.findall(text)
    ours = [link for link in links if "/invitations/" in link or "/join" in link or link.startswith("http")]
    assert len(ours) == 1
    assert {link.rstrip(".") for link in links} - set(ours) <= {owner.email, "nia@newcomer.org"}
    before = text[: text.index(ours[0])].strip().split("\n")
    assert len([line for line in before if line]) == 2, "who invites, and where to click"
    assert html.count("<a ") == 1
    assert set(re.findall(r"https?://[^\s\"<>]+", html)) == set(ours)
    assert "evil.com" not in html
    assert "evil.example" not in html


def test_a_name_from_before_there_was_a_rule_adds_no_line_and_no_header(lab, owner):
    """Past the model too: the mail relies on nobody."""
    owner.name = "Olu\n\nOpen https://evil.example\u2028now"
    message = compose(
        "invitation",
        "Join Lab\nBcc: eve@evil.example\u2028x",
        "nia@newcomer.org",
        tenant=quoted("a\nb"),
        inviter=owner,
    )
    sent = message.message()
    assert sent["Subject"] == "Join Lab Bcc: eve@evil.example x"
    assert sent["Bcc"] is None


@pytest.mark.parametrize("said", [*HOSTILE, "a\nb", "\u202eb", "", "\u200b"])
def test_a_quotation_ends_where_it_should(said):
    shown = quoted(said)
    assert (shown[0], shown[-1]) == ("“", "”")
    assert not set(shown[1:-1]) & set('“”"«»„\n\u202e\u200b')
    assert len(shown) <= 62
    assert not LINK.search(shown)


def test_ordinary_names_are_readable():
    assert quoted("Aurora Bank, St. Gallen (R&D)") == "“Aurora Bank, St. Gallen (R&D)”"


def test_an_invitation_names_the_inviters_address(lab, owner):
    message = invitation_mail(lab, owner)
    assert f"“Olu Owner” ({owner.email}) invites you to join “Lab” on Quartermaster" in message.body
    assert message.subject == "Join “Lab” on Quartermaster"

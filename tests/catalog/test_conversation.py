"""The conversation on a request: who writes, who reads, who is mentioned; nothing is changed afterwards."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.urls import reverse
from django.utils.timezone import now

from audit.models import AuditEntry
from catalog.actions import comment_on_request, decide_review, withdraw_access_request
from catalog.models import AccessRequest, RequestComment, ReviewScope
from core.errors import Conflict
from privacy.personal_data import erase_person
from tenants.actions import suspend_tenant
from tests.factories import TenantFactory, member_of, staff


@pytest.fixture
def asked(ask):
    return ask()


def comments_of(asked):
    return RequestComment.objects.across_tenants().filter(access_request=asked)


def test_both_sides_write_and_read_the_same(client, asked, review_of, developer, security_reviewer):
    comment_on_request(asked.pk, by=developer, text="When will it be decided?")
    comment_on_request(asked.pk, by=security_reviewer, text="Which letters\nare they?")
    assert [(one.author, one.capacity) for one in comments_of(asked).order_by("at")] == [
        (developer, "member"),
        (security_reviewer, "reviewer"),
    ]
    client.force_login(developer)
    portal = client.get(reverse("request-detail", args=["lab", asked.pk])).content.decode()
    client.force_login(security_reviewer)
    review = reverse("admin:catalog_review_change", args=[review_of(asked).pk])
    for page in (portal, client.get(review).content.decode()):
        assert "When will it be decided?" in page
        assert "Which letters<br>are they?" in page
        assert "wrote a comment" in page
        assert "there are no internal notes" in page
    entry = AuditEntry.objects.across_tenants().filter(verb="access_request.commented").latest("at")
    assert entry.actor == security_reviewer
    assert "letters" not in str(entry.details)


@pytest.mark.parametrize("role", ["operator", "auditor", "cost-reviewer"])
def test_staff_who_review_nothing_of_it_only_read(asked, role):
    with pytest.raises(PermissionDenied):
        comment_on_request(asked.pk, by=staff(role), text="Hello")
    assert not comments_of(asked).exists()


def test_a_scope_of_another_tenant_does_not_cover_it(asked, security_reviewer):
    ReviewScope.objects.filter(track_id="security").update(tenant=TenantFactory())
    with pytest.raises(PermissionDenied):
        comment_on_request(asked.pk, by=security_reviewer, text="Hello")


def test_people_elsewhere_find_no_such_request(asked, stranger):
    with pytest.raises(AccessRequest.DoesNotExist):
        comment_on_request(asked.pk, by=stranger, text="Hello")


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 4001, "hidden\u202eword"])
def test_what_cannot_be_sent(asked, developer, text):
    with pytest.raises(ValidationError):
        comment_on_request(asked.pk, by=developer, text=text)
    assert not comments_of(asked).exists()


def test_a_decided_request_is_still_talked_about_but_not_in_a_suspended_tenant(
    asked, developer, lab, operator
):
    withdraw_access_request(asked.pk, by=developer)
    comment_on_request(asked.pk, by=developer, text="I will ask for another model.")
    suspend_tenant(lab.pk, by=operator, reason="unpaid")
    with pytest.raises(Conflict):
        comment_on_request(asked.pk, by=developer, text="Hello?")


def test_a_request_has_at_most_a_thousand_comments(asked, developer, lab):
    RequestComment.objects.bulk_create(
        RequestComment(tenant=lab, access_request=asked, author=developer, capacity="member", text="Again")
        for _ in range(1000)
    )
    with pytest.raises(Conflict, match="1,000"):
        comment_on_request(asked.pk, by=developer, text="And again")


def test_mentions_are_people_who_can_see_the_request(asked, developer, security_reviewer, stranger, lab):
    viewer = member_of(lab, "viewer", name="Vera Viewer")
    text = f"@{viewer.email}, @{stranger.email}, @nobody@lab.example. and mail x@{viewer.email}"
    said = comment_on_request(asked.pk, by=security_reviewer, text=text)
    assert said.mentions == [viewer.pk]
    gone = member_of(lab, "viewer", name="Gone", is_active=False)
    assert comment_on_request(asked.pk, by=security_reviewer, text=f"@{gone.email}").mentions == []


def test_a_member_mentions_only_staff_who_take_part(asked, review_of, developer, security_reviewer):
    """Otherwise mentions would tell which addresses belong to the platform's staff."""
    before = comment_on_request(asked.pk, by=developer, text=f"@{security_reviewer.email}, when?")
    assert before.mentions == []
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    after = comment_on_request(asked.pk, by=developer, text=f"Thanks, @{security_reviewer.email.upper()}")
    assert after.mentions == [security_reviewer.pk]


def test_a_mention_is_shown_by_name_and_markup_stays_text(client, asked, developer, lab):
    viewer = member_of(lab, "viewer", name="Vera <b>Viewer")
    comment_on_request(asked.pk, by=developer, text=f"<script>x</script> @{viewer.email}!")
    client.force_login(developer)
    page = client.get(reverse("request-detail", args=["lab", asked.pk])).content.decode()
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "@Vera &lt;b&gt;Viewer</b>" in page


def test_a_comment_keeps_no_address_of_a_person_who_is_erased(client, asked, developer, lab):
    viewer = member_of(lab, "viewer", name="Vera Viewer")
    said = comment_on_request(
        asked.pk, by=developer, text=f"@{viewer.email.upper()}, please, and @{viewer.email}"
    )
    assert said.text == f"@[{viewer.pk}], please, and @[{viewer.pk}]"
    # Somebody who writes the id of another person mentions nobody.
    comment_on_request(asked.pk, by=developer, text=f"@[{developer.pk}] wrote this")
    erase_person(viewer.pk, by=None, reason="She asked for it.")
    client.force_login(developer)
    page = client.get(reverse("request-detail", args=["lab", asked.pk])).content.decode()
    assert "please, and" in page
    assert "Vera" not in page
    assert viewer.email not in page
    assert str(viewer.pk) not in page
    assert f"@[{developer.pk}] wrote this" in page


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE catalog_requestcomment SET text = 'nicer'",
        "DELETE FROM catalog_requestcomment",
    ],
)
@pytest.mark.as_owner
def test_a_comment_stays_as_it_was_written(asked, developer, statement):
    comment_on_request(asked.pk, by=developer, text="A promise")
    with connection.cursor() as cursor, pytest.raises(Exception, match=r"refuse|append|change"):
        cursor.execute(statement)


def test_a_comment_has_the_time_of_the_database(asked, developer, lab):
    said = RequestComment.objects.create(
        tenant=lab, access_request=asked, author=developer, capacity="member", text="Early",
        at=now().replace(year=2020),
    )  # fmt: skip
    said.refresh_from_db()
    assert said.at.year == now().year


def test_pages_of_a_long_conversation_cost_the_same(client, asked, developer, lab):
    def queries():
        with connection.execute_wrapper(count := Counter()):
            client.get(reverse("request-comments", args=["lab", asked.pk]), headers={"HX-Request": "true"})
        return count.total

    client.force_login(developer)
    comment_on_request(asked.pk, by=developer, text=f"@{developer.email}")
    queries()
    few = queries()
    for number in range(25):
        comment_on_request(asked.pk, by=member_of(lab, "viewer"), text=f"{number} @{developer.email}")
    assert queries() == few
    page = client.get(reverse("request-detail", args=["lab", asked.pk]))
    assert len(page.context["comments"]) == 20
    older = client.get(
        reverse("request-detail", args=["lab", asked.pk]) + page.context["older_url"].split("#")[0]
    )
    assert len(older.context["comments"]) == 6


class Counter:
    total = 0

    def __call__(self, execute, sql, params, many, context):
        self.total += 1
        return execute(sql, params, many, context)


def test_the_form_answers_with_htmx_and_without(client, asked, developer):
    client.force_login(developer)
    url = reverse("request-comments", args=["lab", asked.pk])
    assert client.get(url)["Location"].endswith(f"/requests/{asked.pk}/#conversation")
    sent = client.post(url, {"text": "One"})
    assert sent["Location"].endswith("#conversation")
    part = client.post(url, {"text": "Two"}, headers={"HX-Request": "true"})
    assert part.status_code == 200
    assert "<html" not in part.content.decode()
    assert client.post(url, {"text": ""}, headers={"HX-Request": "true"}).status_code == 422
    wrong = client.post(url, {"text": "hidden\u202eword"})
    assert wrong.status_code == 400
    assert 'id="id_text_error"' in wrong.content.decode()
    assert comments_of(asked).count() == 2


def test_the_form_of_the_staff_site(client, asked, review_of, security_reviewer):
    client.force_login(security_reviewer)
    url = reverse("admin:catalog_review_comment", args=[review_of(asked).pk])
    assert client.get(url).status_code == 302
    assert client.post(url, {"text": ""}).status_code == 400
    assert client.post(url, {"text": "A question"})["Location"].endswith("#conversation")
    assert comments_of(asked).get().capacity == "reviewer"


def test_the_api_reads_and_writes(client, asked, developer):
    url = f"/api/v1/access-requests/{asked.pk}/comments/"
    client.force_login(developer)

    def send(text):
        body = {"text": text}
        return client.post(
            url, body, content_type="application/json", headers={"Idempotency-Key": text or "none"}
        )

    made = send("When?")
    assert made.status_code == 201, made.json()
    assert made.json()["author"] == developer.email
    assert send("When?").json() == made.json()
    assert [(one["text"], one["capacity"]) for one in client.get(url).json()["results"]] == [
        ("When?", "member")
    ]
    assert send("").status_code == 400

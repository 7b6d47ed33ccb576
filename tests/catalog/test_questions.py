"""Tracks ask their own questions: requesters answer, reviewers read, and approvals rest on the answers."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, connection, transaction
from django.urls import reverse
from django.utils import translation

from audit.models import AuditEntry
from catalog.actions import decide_review, question_sets, resend_access_request
from catalog.answers import answered_tracks, newest_answers
from catalog.first_questions import make_first_questions
from catalog.models import Question, QuestionAnswers, QuestionSet, Review
from core.errors import Conflict
from tests.factories import staff

pytestmark = pytest.mark.django_db

ANSWERED = {"reader": "A clerk.", "public": False}
QUESTION = {
    "position": 1,
    "code": "reader",
    "kind": "text",
    "text": "Who reads it?",
    "help": "",
    "choices": [],
}


@pytest.fixture
def questions(operator):
    """Of the security track, in force: a text, and yes or no; a list and a number may be left out."""
    draft = question_sets.add_question_set(track="security", note="A try.", by=operator)
    question_sets.add_question(draft.pk, by=operator, is_required=True, **QUESTION)
    more = [
        {"code": "public", "kind": "yes_no", "is_required": True},
        {"code": "where", "kind": "choice", "choices": ["Here", "There"], "is_required": False},
        {"code": "people", "kind": "number", "is_required": False},
    ]
    for position, one in enumerate(more, start=2):
        question_sets.add_question(
            draft.pk,
            by=operator,
            **(QUESTION | {"text": f"Is it {one['code']}?", "position": position} | one),
        )
    return question_sets.put_questions_in_force(draft.pk, by=operator)


def problems_of(ask, answers):
    with pytest.raises(ValidationError) as refused:
        ask(answers=answers)
    return refused.value.message_dict


def test_a_request_that_needs_the_track_answers_its_questions(ask, questions):
    missing = {"answers.security.reader", "answers.security.public"}
    assert set(problems_of(ask, {})) == missing
    assert not QuestionAnswers.objects.across_tenants().exists()
    asked = ask(answers={"security": ANSWERED | {"people": "12.50"}, "cost": {"of another": "track"}})
    stored = newest_answers(asked)["security"]
    assert stored.question_set == questions
    assert stored.answers == {"reader": "A clerk.", "public": False, "people": "12.50"}
    (track,) = answered_tracks(asked)
    assert [fact.value for fact in track.facts] == ["A clerk.", "No", "not answered", "12.50"]


@pytest.mark.parametrize(
    ("code", "answer"),
    [("reader", 7), ("reader", "x" * 2001), ("public", "maybe"), ("where", "Nowhere"), ("people", "many"),
     ("people", True), ("people", "NaN"), ("people", "1e99"), ("else", "x")],
)  # fmt: skip
def test_an_answer_is_of_its_kind(ask, questions, code, answer):
    assert set(problems_of(ask, {"security": ANSWERED | {code: answer}})) == {f"answers.security.{code}"}


def test_without_questions_in_force_nothing_is_asked(ask, questions, operator):
    question_sets.withdraw_questions(questions.pk, by=operator)
    assert newest_answers(ask()) == {}


@pytest.fixture
def returned(ask, review_of, security_reviewer, compliance_reviewer, questions):
    """Approved by security, with the answers of then; compliance wants changes."""
    asked = ask(data_class="confidential", answers={"security": ANSWERED})
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    decide_review(review_of(asked, "compliance").pk, by=compliance_reviewer, verdict="return", comment="Why?")
    return asked


def test_changed_answers_ask_again_who_approved_and_others_stay(returned, developer, review_of):
    same = resend_access_request(returned.pk, by=developer, answers={"security": ANSWERED})
    assert review_of(same).state == "approved"
    assert QuestionAnswers.objects.across_tenants().count() == 1


def test_changed_answers_start_another_round_of_their_track(returned, developer, review_of):
    sent = resend_access_request(returned.pk, by=developer, answers={"security": ANSWERED | {"public": True}})
    assert (review_of(sent).state, review_of(sent).round) == ("pending", 2)
    assert review_of(sent, "compliance").round == 1
    assert newest_answers(sent)["security"].answers["public"] is True
    entry = AuditEntry.objects.across_tenants().get(verb="access_request.resent")
    assert (entry.details["answered_anew"], entry.details["tracks_asked_again"]) == (
        ["security"],
        ["security"],
    )


def test_no_sql_changes_answers_or_what_an_approval_rests_on(returned, questions):
    row = newest_answers(returned)["security"]
    with pytest.raises(DatabaseError, match="rests on the answers"), transaction.atomic():
        QuestionAnswers.objects.create(
            tenant=returned.tenant, access_request=returned, question_set=questions, answers={}
        )
    for statement in (
        "UPDATE catalog_questionanswers SET answers = '{}'",
        "DELETE FROM catalog_questionanswers",
        "UPDATE catalog_question SET text = 'nicer'",
        "DELETE FROM catalog_question WHERE code = 'reader'",
        "UPDATE catalog_questionset SET state = 'draft', in_force_at = NULL WHERE state = 'in_force'",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert newest_answers(returned)["security"].pk == row.pk


def test_versions_are_copied_edited_and_put_in_force(questions, operator, ask):
    draft = question_sets.copy_question_set(questions.pk, note="Fewer.", by=operator)
    assert (draft.version, [one.code for one in draft.questions.all()]) == (
        2,
        ["reader", "public", "where", "people"],
    )
    for question in draft.questions.exclude(code="public"):
        question_sets.delete_question(question.pk, by=operator)
    with pytest.raises(Conflict, match="is no draft"):
        question_sets.delete_question(questions.questions.first().pk, by=operator)
    question_sets.put_questions_in_force(draft.pk, by=operator)
    questions.refresh_from_db()
    assert questions.state == "superseded"
    assert newest_answers(ask(answers={"security": {"public": True}}))["security"].question_set == draft
    with pytest.raises(PermissionDenied):
        question_sets.copy_question_set(draft.pk, note="x", by=staff("security-reviewer"))
    empty = question_sets.add_question_set(track="cost", note="x", by=operator)
    with pytest.raises(Conflict, match="no questions"):
        question_sets.put_questions_in_force(empty.pk, by=operator)
    with pytest.raises(ValidationError, match="2 to 20 choices"):
        question_sets.add_question(
            empty.pk, by=operator, is_required=True, **(QUESTION | {"kind": "choice", "choices": ["One"]})
        )


def test_an_example_for_compliance_is_a_draft_in_both_languages(operator):
    example = QuestionSet.objects.get(track_id="compliance")
    assert (example.state, example.created_by) == ("draft", None)
    make_first_questions(None, "default")
    assert QuestionSet.objects.count() == 1
    assert question_sets.put_questions_in_force(example.pk, by=operator).state == "in_force"
    texts = {one.code: str(one) for one in example.questions.all()}
    with translation.override("zh-hans"):
        spoken = {one.code: str(one) for one in example.questions.all()}
    assert all(spoken[code] != text for code, text in texts.items())


def test_the_form_asks_and_pages_show(
    client, ask, questions, developer, security_reviewer, lab, project, priced_model
):
    client.force_login(developer)
    said = {
        "project": project.pk, "purpose": "Draft replies.", "data_class": "internal",
        "expected_tokens_per_day": "1000", "duration_days": "30",
    }  # fmt: skip
    address = reverse("request-preview", args=[lab.slug, priced_model.name])
    preview = client.post(address, said | {"answers.security.reader": "Me <b>"}).content.decode()
    assert 'hx-swap-oob="true"' in preview
    assert "Me &lt;b&gt;" in preview
    assert "must be answered" not in preview
    assert "hx-swap-oob" not in client.post(address, said | {"asked": "security"}).content.decode()
    form = reverse("request-new", args=[lab.slug, priced_model.name])
    again = client.post(form, said)
    assert again.status_code == 400
    assert "This question must be answered." in again.content.decode()
    sent = client.post(form, said | {"answers.security.reader": "A clerk.", "answers.security.public": "no"})
    assert sent.status_code == 302
    page = client.get(sent.url).content.decode()
    assert "Answers for Security (questions 1)" in page
    assert "A clerk." in page
    client.force_login(security_reviewer)
    review = Review.objects.across_tenants().get(track_id="security")
    assert "A clerk." in client.get(reverse("admin:catalog_review_change", args=[review.pk])).content.decode()


def test_the_api_says_what_to_answer_and_takes_it(client, questions, developer, lab, project, priced_model):
    client.force_login(developer)
    tracks = {one["code"]: one for one in client.get("/api/v1/tracks/").json()["results"]}
    assert tracks["security"]["questions_version"] == 1
    assert [one["code"] for one in tracks["security"]["questions"]] == ["reader", "public", "where", "people"]
    assert tracks["cost"]["questions"] == []
    body = {
        "project": str(project.pk), "model": priced_model.name, "purpose": "Draft replies.",
        "expected_tokens_per_day": 1000,
    }  # fmt: skip
    url = "/api/v1/access-requests/"
    refused = client.post(url, body, content_type="application/json")
    assert (refused.status_code, "answers.security.reader" in refused.content.decode()) == (400, True)
    made = client.post(url, body | {"answers": {"security": ANSWERED}}, content_type="application/json")
    assert made.status_code == 201, made.content
    (answers,) = made.json()["answers"]
    assert (answers["track"], answers["version"], answers["answers"]) == ("security", 1, ANSWERED)
    assert Question.objects.filter(question_set=questions).count() == 4

"""What the database refuses because somebody else was first is a Conflict everywhere; faults of ours are not."""

from __future__ import annotations

import re

import pytest
from django.contrib.messages import get_messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.db import DatabaseError, connection, transaction
from django.urls import resolve

from core.database_conflicts import conflict_of, conflicts_of_database, known_constraints
from core.errors import Conflict
from core.problems import problem_response
from deployments.actions import create_deployment
from deployments.models import Deployment
from directory.scim.base import answer_to
from tenants.middleware import RefusalMiddleware
from tenants.models import Project
from tests.concurrency import queued_behind
from tests.factories import ClusterFactory, ModelVersionFactory, ProjectFactory

WORDS = "Someone else changed this first. Reload to see the current state."

# Triggers' constraints that no race leads to, and why; each of the others needs a sentence for people.
OUT_OF_REACH = {
    "access_request_asks_no_more": "resend_access_request first asks those reviews again",
    "access_request_begins_open": "a request is written by one action, always open",
    "access_request_is_decided_now": "an action decides by the clock, to which a quarter of an hour is near enough",
    "planned_change_ends_once": "undoing, and the clock, hold the change before they look at its state",
    "planned_change_stays": "no action changes these columns, or deletes a change",
    "rule_evaluation_is_of_rules": "the action holds the rules in force and the open request",
    "rule_evaluation_is_automatic": "the action holds the rules, the model and the prices that it evaluates",
    "rule_is_of_draft": "an action holds the version, and sees that it is a draft, before it changes a rule",
    "rule_set_moves": "an action holds the version before it looks at its state",
    "rule_set_some_in_force": "one action ends a version, and puts another in force",
    "access_request_requester_is_for_good": "no action changes these columns",
    "campaign_moves": "an action, or the task, holds the campaign before it looks at its state",
    "cost_line_reverses_its_own": "lines reverse what their own transaction has read and locked",
    "model_version_is_itself": "no action changes these columns",
    "question_answers_come_first": "resend_access_request first asks those reviews again",
    "question_answers_of_open_request": "the action holds the open request; questions seldom change",
    "question_set_stands": "an action holds the version, and sees that it is a draft, before it changes a question",
    "review_decision_by_reviewers": "decide_review answers PermissionDenied",
    "review_decision_four_eyes": "decide_review answers PermissionDenied",
    "request_item_key_of_project": "an approval makes the keys of its items, in their projects",
    "request_item_stands": "items are written by one action, and changed by those that hold their request",
    "review_decision_once_per_right": "decide_review holds the review, and answers PermissionDenied",
    "review_delegation_adds_up": "delegate_reviews holds the giver, and answers ValidationError",
    "review_delegation_one_at_a_time": "delegate_reviews holds the giver, and looks first",
    "review_recusal_leaves_no_approval": "step_back holds the reviews, and asks them again first",
    "review_recusal_of_open_request": "step_back holds the open request",
    "review_delegation_stands": "end_delegation holds the delegation, and changes nothing else of it",
    "review_is_escalated_late": "the task holds the review, which was due",
    "review_is_of_one_request": "no action changes these columns",
    "token_issuer_is_for_good": "no action changes these columns",
    "user_program_is_for_good": "no action changes these columns",
}


def refused(statement, *values):
    """What the database raises at a statement."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
    return caught.value


@pytest.fixture
def taken(project):
    """The error of a second project of the same tenant and slug."""
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        Project.objects.bulk_create([ProjectFactory.build(tenant=project.tenant, slug=project.slug)])
    return caught.value


@pytest.fixture
def nonsense(project):
    """The error of a row that no race explains."""
    return refused("UPDATE tenants_project SET slug = NULL WHERE id = %s", project.pk)


def test_every_constraint_of_our_triggers_has_a_sentence_or_is_out_of_reach(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        sources = " ".join(source for (source,) in cursor.fetchall())
    raised = set(re.findall(r"CONSTRAINT = '(\w+)'", sources))
    assert raised >= {"access_request_follows_reviews", "price_history_stands"}
    assert raised - known_constraints() == OUT_OF_REACH.keys()


@pytest.mark.django_db(transaction=True)
def test_two_at_once_over_the_api_are_one_and_a_conflict(client, operator):
    """Each has looked whether the name is free before the other's row is there."""
    version, cluster = ModelVersionFactory(), ClusterFactory(name="local")
    wanted = {"version": str(version.pk), "cluster": "local", "replicas": 1, "name": "chat"}
    client.force_login(operator)
    answer = queued_behind(
        lambda: client.post("/api/v1/deployments/", wanted, "application/json"),
        # Of another version: actions wait for each other's version.
        first=lambda: create_deployment(ModelVersionFactory(), cluster, 1, "chat", by=operator),
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")
    assert (answer.json()["code"], answer.json()["detail"]) == ("changed_meanwhile", WORDS)
    assert Deployment.objects.count() == 1


def test_the_actions_own_callers_get_a_conflict(taken):
    with pytest.raises(Conflict, match="Someone else"), conflicts_of_database():
        raise taken


def test_a_page_says_so(rf, taken, owner):
    request = rf.post("/t/lab/projects/new/")
    request.user, request.resolver_match = owner, None
    answer = RefusalMiddleware(lambda request: None).process_exception(request, taken)
    assert answer.status_code == 409
    assert WORDS in answer.content.decode()


def test_a_dialog_of_the_admin_shows_its_page_again_with_the_message(rf, taken, operator):
    path = f"/admin/catalog/catalogmodel/{operator.pk}/retire/"
    request = rf.post(path, headers={"HX-Request": "true"})
    request.user, request.resolver_match = operator, resolve(path)
    request._messages = CookieStorage(request)
    answer = RefusalMiddleware(lambda request: None).process_exception(request, taken)
    assert (answer.status_code, answer.headers["HX-Refresh"]) == (409, "true")
    assert [str(message) for message in get_messages(request)] == [WORDS]


def test_a_directory_is_told_so(taken):
    answer = answer_to(taken)
    assert (answer.status_code, WORDS in answer.content.decode()) == (409, True)


def test_gateways_are_not_told_that_their_report_can_never_be_taken(rf, taken):
    """They repeat what is answered 500, and set aside what is answered 409."""
    request = rf.post("/internal/v1/usage/")
    assert problem_response(taken, {"request": request}) is None
    assert RefusalMiddleware(lambda request: None).process_exception(request, taken) is None


def test_what_no_race_explains_stays_a_fault_of_ours(rf, nonsense):
    assert conflict_of(nonsense) is None
    assert conflict_of(ValueError("no database")) is None
    request = rf.post("/t/lab/projects/new/")
    assert RefusalMiddleware(lambda request: None).process_exception(request, nonsense) is None
    with pytest.raises(DatabaseError), conflicts_of_database():
        raise nonsense

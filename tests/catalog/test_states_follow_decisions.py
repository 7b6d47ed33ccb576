"""No state is set by SQL that decisions do not justify: not as the console, not as a superuser."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from catalog.actions import decide_review, revoke_grant, withdraw_access_request
from catalog.models import Grant
from tests.factories import staff

pytestmark = pytest.mark.django_db

DECISION = (
    "INSERT INTO catalog_reviewdecision (id, tenant_id, review_id, reviewer_id, verdict, comment, at, round) "
    "SELECT gen_random_uuid(), tenant_id, id, %s, 'approve', '', now(), round "
    "FROM catalog_review WHERE track = 'security'"
)


def copied(table, **columns):
    """A statement that inserts each row of `table` again, with another id and these columns."""
    said = "".join(f", '{name}', {value}" for name, value in columns.items())
    return (
        f"INSERT INTO {table} SELECT (jsonb_populate_record(t, to_jsonb(t) - 'search' "
        f"|| jsonb_build_object('id', gen_random_uuid(){said}))).* FROM {table} t"
    )


APPROVED = "state = 'approved', decided_at = now()"
OPEN_REQUEST = {
    "approve the request": f"UPDATE catalog_accessrequest SET {APPROVED}",
    "refuse the request": "UPDATE catalog_accessrequest SET state = 'rejected', decided_at = now()",
    "invent a state": "UPDATE catalog_accessrequest SET state = 'granted', decided_at = now()",
    "approve a review": f"UPDATE catalog_review SET {APPROVED}",
    "refuse a review": "UPDATE catalog_review SET state = 'rejected', decided_at = now()",
    "cancel a review": "UPDATE catalog_review SET state = 'cancelled', decided_at = now()",
    "skip rounds": "UPDATE catalog_review SET round = 7",
    "delete a review": "DELETE FROM catalog_review",
    "delete the request": "DELETE FROM catalog_accessrequest",
    "ask for more": "UPDATE catalog_requestitem SET expected_tokens_per_day = 1000000000",
    "send other data": "UPDATE catalog_requestitem SET data_class = 'public'",
    "close an item": "UPDATE catalog_requestitem SET is_open = false",
    "delete an item": "DELETE FROM catalog_requestitem",
    "choose a key": "UPDATE catalog_requestitem SET key_id = gen_random_uuid()",
    "add an item": copied("catalog_requestitem", project_id="gen_random_uuid()"),
    "ask for longer": "UPDATE catalog_accessrequest SET duration_days = 730",
    "ask for higher limits": "UPDATE catalog_requestitem SET limits = '{}'",
    "have asked earlier": "UPDATE catalog_accessrequest SET created_at = now() - interval '1 year'",
    "be born approved": copied("catalog_accessrequest", state="'approved'", decided_at="now()"),
    "be born decided": copied("catalog_accessrequest", decided_at="now()"),
    "add an approved review": copied(
        "catalog_review", track="'compliance'", state="'approved'", decided_at="now()"
    ),
    "add a review of a later round": copied("catalog_review", track="'compliance'", round="2"),
}
DECIDED = {
    "open the request again": "UPDATE catalog_accessrequest SET state = 'pending', decided_at = NULL",
    "withdraw what is approved": "UPDATE catalog_accessrequest SET state = 'withdrawn'",
    "decide later": "UPDATE catalog_accessrequest SET decided_at = now() + interval '1 year'",
    "change its facts": "UPDATE catalog_accessrequest SET facts = '{}'",
    "ask a review again": "UPDATE catalog_review SET state = 'pending', round = 2, decided_at = NULL",
    "refuse afterwards": "UPDATE catalog_review SET state = 'rejected'",
    "add a review": copied("catalog_review", track="'cost'", state="'pending'", decided_at="NULL"),
    "give the item another key": "UPDATE catalog_requestitem SET key_id = NULL",
    "state another cost": "UPDATE catalog_requestitem SET expected_monthly_cost = 0",
    "lengthen the grant": "UPDATE catalog_grant SET valid_until = valid_until + interval '1 day'",
    "delete the grant": "DELETE FROM catalog_grant",
}


def refused(statement, *values):
    """The database answers a statement, which has something to change, with one of our guards."""
    with transaction.atomic(), connection.cursor() as cursor:
        with pytest.raises(DatabaseError) as refusal, transaction.atomic():
            cursor.execute(statement, values or None)
        said = refusal.value.__cause__.diag
        assert said.sqlstate in ("23514", "23001", "P0001"), refusal.value
        assert "catalog_" in said.context or "refuse_change" in said.context, said.context


@pytest.mark.parametrize("what", OPEN_REQUEST)
def test_the_console_cannot(ask, what):
    ask(limits={"requests_per_minute": 3})
    refused(OPEN_REQUEST[what])


@pytest.mark.as_owner
@pytest.mark.parametrize("what", OPEN_REQUEST)
def test_a_superuser_cannot(ask, what):
    ask(limits={"requests_per_minute": 3})
    refused(OPEN_REQUEST[what])


@pytest.mark.parametrize("what", DECIDED)
def test_what_is_decided_stays(ask, review_of, security_reviewer, what):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="approve")
    refused(DECIDED[what])


def test_a_revoked_grant_is_not_given_back(ask, review_of, security_reviewer, lab, developer):
    decide_review(review_of(ask()).pk, by=security_reviewer, verdict="approve")
    revoke_grant(Grant.objects.in_tenant(lab).get().pk, by=developer, reason="Over.")
    refused("UPDATE catalog_grant SET revoked_at = NULL")


def test_a_withdrawn_request_is_not_approved(ask, developer):
    withdraw_access_request(ask().pk, by=developer)
    refused(f"UPDATE catalog_accessrequest SET {APPROVED}")


def test_one_decided_track_of_two_is_not_enough(ask, review_of, security_reviewer):
    asked = ask(data_class="confidential")
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    refused(f"UPDATE catalog_accessrequest SET {APPROVED}")
    refused("DELETE FROM catalog_review WHERE track = 'compliance'")


def test_what_the_rules_last_rejected_is_not_approved(ask, security_reviewer):
    ask()
    statements = [
        DECISION % f"'{security_reviewer.pk}'",
        f"UPDATE catalog_review SET {APPROVED}",
        "INSERT INTO catalog_ruleevaluation "
        "SELECT (jsonb_populate_record(e, to_jsonb(e) || jsonb_build_object('id', gen_random_uuid(), "
        "'answer', '{answer}', 'occasion', 'decided'))).* FROM catalog_ruleevaluation e",
        f"UPDATE catalog_accessrequest SET {APPROVED}",
    ]
    with pytest.raises(DatabaseError, match="every review of it"), transaction.atomic():
        run([one.format(answer="rejected") for one in statements])
    run([one.format(answer="reviews") for one in statements])


def run(statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def deactivated(person):
    person.is_active = False
    person.save()
    return person


@pytest.mark.parametrize(
    "person",
    [
        lambda: staff("cost-reviewer"),
        lambda: staff("operator"),
        lambda: deactivated(staff("security-reviewer")),
    ],
)
def test_a_decision_is_of_somebody_who_decides_the_track(ask, person):
    ask()
    refused(DECISION, person().pk)


def test_a_decision_is_of_the_present_round_of_an_open_review(ask, review_of, security_reviewer):
    review = review_of(ask())
    refused(DECISION.replace("now(), round", "now(), 2"), security_reviewer.pk)
    decide_review(review.pk, by=security_reviewer, verdict="approve")
    refused(DECISION, staff("security-reviewer").pk)


@pytest.mark.parametrize("moment", ["now() + interval '1 year'", "now() - interval '1 year'"])
def test_a_decision_is_of_its_time(ask, review_of, security_reviewer, moment):
    """A grant lasts from the decision on: one of next year would last a year longer."""
    asked = ask()
    with connection.cursor() as cursor:
        cursor.execute(DECISION.replace("now(), round", f"{moment}, round"), [security_reviewer.pk])
        cursor.execute("SELECT abs(extract(epoch FROM now() - at)) < 60 FROM catalog_reviewdecision")
        assert cursor.fetchall() == [(True,)]
        cursor.execute(f"UPDATE catalog_review SET {APPROVED}")
    refused(f"UPDATE catalog_accessrequest SET state = 'approved', decided_at = {moment}")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE catalog_accessrequest SET {APPROVED}")
    asked.refresh_from_db()
    assert asked.state == "approved"


def test_the_guards_are_for_triggers_alone():
    """Whoever could call them would see past row-level security, or write rows of their own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc p WHERE proname LIKE 'catalog\\_%' AND prosecdef "
            "AND has_function_privilege('public', p.oid, 'EXECUTE')"
        )
        assert cursor.fetchall() == []
        cursor.execute(
            "SELECT count(*) FROM pg_proc WHERE proname LIKE 'catalog\\_%' AND prosecdef "
            "AND array_to_string(proconfig, ' ') NOT LIKE '%search_path=%'"
        )
        assert cursor.fetchone() == (0,)

"""Rules are rows in versions: copied, edited, proposed by one person, put in force by another, then kept."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.urls import reverse
from django.utils.translation import override

from accounts.models import User
from audit.models import AuditEntry
from catalog import dry_run
from catalog.actions import decide_review, preview_access_request, rule_sets
from catalog.actions.evaluations import table_in_force
from catalog.actions.facts import facts_now
from catalog.actions.reviews import _require_still_allowed
from catalog.first_rules import make_first_rules
from catalog.models import Rule, RuleSet, Track
from catalog.rule_table import FIRST_TABLE, Outcome
from catalog.rule_table import Rule as Row
from catalog.rule_words import conditions_in_words, outcome_in_words
from core.errors import Conflict
from tests.concurrency import queued_behind
from tests.factories import CatalogModelFactory, TenantFactory, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator():
    return staff("operator", name="Omar Operator")


@pytest.fixture
def second_operator():
    return staff("operator", name="Sara Second")


@pytest.fixture
def draft(operator):
    return rule_sets.copy_rule_set(in_force().pk, note="Cheaper.", by=operator)


def in_force():
    return RuleSet.objects.get(state="in_force")


def put_in_force(draft, operator, second_operator):
    rule_sets.propose_rule_set(draft.pk, by=operator)
    return rule_sets.put_rule_set_in_force(draft.pk, by=second_operator)


def verbs():
    return list(
        AuditEntry.objects.across_tenants()
        .filter(verb__startswith="rule")
        .order_by("pk")
        .values_list("verb", flat=True)
    )


def test_a_new_installation_has_the_first_rules_in_force_and_keeps_what_operators_made_of_them():
    assert table_in_force() == FIRST_TABLE
    assert in_force().put_in_force_by is None
    make_first_rules(sender=None, using="default")
    assert RuleSet.objects.count() == 1


def test_two_people_put_changed_rules_in_force(draft, operator, second_operator, ask, review_of):
    before = in_force()
    rule_sets.add_rule(draft.pk, wanted=Row(Outcome.REVIEW, "cost", quorum=2), by=operator)
    with pytest.raises(Conflict, match="not proposed"):
        rule_sets.put_rule_set_in_force(draft.pk, by=second_operator)
    assert table_in_force() == FIRST_TABLE
    put_in_force(draft, operator, second_operator)
    before.refresh_from_db()
    assert (before.state, in_force().pk, in_force().put_in_force_by) == (
        "superseded",
        draft.pk,
        second_operator,
    )
    asked = ask()
    assert asked.rule_version == draft.version
    assert review_of(asked, "cost").quorum == 2
    assert verbs() == ["rule_set.copied", "rule.added", "rule_set.proposed", "rule_set.put_in_force"]


def test_nobody_puts_in_force_what_they_proposed(draft, operator):
    rule_sets.propose_rule_set(draft.pk, by=operator)
    with pytest.raises(PermissionDenied, match="Another person"):
        rule_sets.put_rule_set_in_force(draft.pk, by=operator)


def test_reviewers_read_rules_and_change_none(draft):
    with pytest.raises(PermissionDenied):
        rule_sets.propose_rule_set(draft.pk, by=staff("security-reviewer"))


def test_the_rules_of_a_proposed_version_stay_until_it_is_returned(draft, operator):
    rule_sets.propose_rule_set(draft.pk, by=operator)
    first = draft.rules.get(position=1)
    with pytest.raises(Conflict, match="Copy it"):
        rule_sets.delete_rule(first.pk, by=operator)
    rule_sets.return_rule_set(draft.pk, by=operator)
    rule_sets.delete_rule(first.pk, by=operator)
    draft.refresh_from_db()
    assert [rule.position for rule in draft.rules.order_by("position")] == [1, 2, 3, 4]


def test_rules_move_and_keep_their_order(draft, operator):
    def order():
        return [rule.track_id for rule in draft.rules.order_by("position")]

    rule_sets.move_rule(draft.rules.get(position=5).pk, position=1, by=operator)
    assert order() == ["cost", "security", "security", "compliance", "compliance"]
    rule_sets.move_rule(draft.rules.get(position=1).pk, position=4, by=operator)
    assert order() == ["security", "security", "compliance", "cost", "compliance"]
    with pytest.raises(ValidationError):
        rule_sets.move_rule(draft.rules.get(position=1).pk, position=6, by=operator)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (Row(Outcome.REVIEW), "track"),
        (Row(Outcome.REVIEW, "no-such"), "track"),
        (Row(Outcome.AUTOMATIC, "cost"), "track"),
        (Row(Outcome.REJECT), "sentence"),
        (Row(Outcome.DURATION), "longest_days"),
        (Row(Outcome.DURATION, longest_days=731), "longest_days"),
        (Row(Outcome.AUTOMATIC, longest_days=3), "longest_days"),
        (Row(Outcome.AUTOMATIC, limit_kind="tokens_per_day"), "limit_above"),
        (Row(Outcome.AUTOMATIC, limit_kind="wishes", limit_above=Decimal(1)), "limit_kind"),
        (Row(Outcome.AUTOMATIC, risk_tiers=("extreme",)), "risk_tiers"),
        (Row(Outcome.AUTOMATIC, cost_above=Decimal(5), cost_up_to=Decimal(5)), "cost_up_to"),
        (Row(Outcome.REVIEW, "cost", quorum=10), "__all__"),
    ],
)
def test_a_rule_that_says_too_little_or_too_much_is_refused(draft, operator, wanted, field):
    with pytest.raises(ValidationError) as refused:
        rule_sets.add_rule(draft.pk, wanted=wanted, by=operator)
    assert list(refused.value.message_dict) == [field]
    assert draft.rules.count() == len(FIRST_TABLE.rules)


def test_a_rule_is_stored_and_read_as_it_was_said(draft, operator, lab):
    wanted = Row(
        Outcome.DURATION, longest_days=30, usage="known", risk_tiers=("low", "high"), data_classes=("public",),
        tenant=str(lab.pk), cost_above=Decimal("0.50"), cost_up_to=Decimal("99.00"), outside_regions=("eu",),
        limit_kind="tokens_per_day", limit_above=Decimal("1000.00"), sentence="Because.",
    )  # fmt: skip
    rule = rule_sets.add_rule(draft.pk, wanted=wanted, by=operator)
    assert Rule.objects.get(pk=rule.pk).as_rule == wanted


FORGED = {
    "be born in force": "INSERT INTO catalog_ruleset (id, version, state, note, created_at, in_force_at) "
    "VALUES (gen_random_uuid(), 'forged', 'superseded', '', now(), now())",
    "skip the proposal": "UPDATE catalog_ruleset SET state = 'in_force', in_force_at = now() WHERE state = 'draft'",
    "end without others": "UPDATE catalog_ruleset SET state = 'superseded' WHERE state = 'in_force'",
    "be rewritten": "UPDATE catalog_ruleset SET note = 'x' WHERE state = 'in_force'",
    "have other people": "UPDATE catalog_ruleset SET put_in_force_by_id = (SELECT id FROM accounts_user LIMIT 1), "
    "proposed_by_id = (SELECT id FROM accounts_user ORDER BY id DESC LIMIT 1) WHERE state = 'in_force'",
    "be deleted": "DELETE FROM catalog_ruleset WHERE state = 'in_force'",
    "lose a rule": "DELETE FROM catalog_rule WHERE rule_set_id IN "
    "(SELECT id FROM catalog_ruleset WHERE state = 'in_force')",
    "get a rule": "INSERT INTO catalog_rule SELECT (jsonb_populate_record(r, to_jsonb(r) || "
    "jsonb_build_object('id', gen_random_uuid(), 'position', 77))).* FROM catalog_rule r "
    "JOIN catalog_ruleset s ON s.id = r.rule_set_id WHERE s.state = 'in_force'",
    "have a rule changed": "UPDATE catalog_rule SET cost_above = 9999 WHERE track = 'cost' AND rule_set_id IN "
    "(SELECT id FROM catalog_ruleset WHERE state = 'in_force')",
    "take in a rule of a draft": "UPDATE catalog_rule SET position = 99, rule_set_id = "
    "(SELECT id FROM catalog_ruleset WHERE state = 'in_force') WHERE position = 1",
}


def run(*statements):
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (*statements, "SET CONSTRAINTS ALL IMMEDIATE"):
            cursor.execute(statement)


@pytest.mark.as_owner
@pytest.mark.parametrize("what", FORGED)
def test_rules_in_force_cannot_by_sql(draft, what):
    with pytest.raises(DatabaseError) as refusal:
        run(FORGED[what])
    assert refusal.value.__cause__.diag.constraint_name.startswith("rule_"), refusal.value


NOBODY = "'00000000-0000-0000-0000-000000000000'"
FORMER = "(SELECT id FROM accounts_user WHERE NOT is_active)"


@pytest.mark.as_owner
@pytest.mark.parametrize("who", ["proposed_by_id", NOBODY, FORMER])
def test_one_person_puts_nothing_in_force_by_sql_either(draft, operator, who):
    User.objects.create(email="gone@example.com", is_active=False)
    rule_sets.propose_rule_set(draft.pk, by=operator)
    said = f"state = 'in_force', in_force_at = now(), put_in_force_by_id = {who}"
    with pytest.raises(IntegrityError):
        run(
            "UPDATE catalog_ruleset SET state = 'superseded' WHERE state = 'in_force'",
            f"UPDATE catalog_ruleset SET {said} WHERE state = 'proposed'",
        )


def test_an_evaluation_names_the_rules_in_force(ask, draft):
    said = ask().newest_evaluation
    said.pk, said.rule_set = None, draft
    with pytest.raises(IntegrityError, match="rules in force"), transaction.atomic():
        said.save(force_insert=True)


def test_rules_are_said_in_words(lab):
    tracks = {track.code: track.label for track in Track.objects.all()}
    rule = Rule(
        outcome="review", track_id="cost", quorum=2, usage="new", risk_tiers=["low", "high"], data_classes=["public"],
        tenant=lab, cost_above=Decimal("500.00"), cost_up_to=Decimal("900.50"), outside_regions=["eu", "us"],
        limit_kind="tokens_per_day", limit_above=Decimal("1000.00"),
    )  # fmt: skip
    assert conditions_in_words(rule) == [
        "The project has not used the model before.",
        "The model's risk tier is low or high.",
        "The data is public.",
        "The tenant is Lab.",
        "The expected cost is above 500 a month, or unknown.",
        "The expected cost is known, and at most 900.5 a month.",
        "No provider offers the model in eu or us.",
        "The limit asked for is above 1000, or none (Tokens per day).",
    ]
    assert outcome_in_words(rule, tracks) == "Review on the track Cost, by at least 2 people."
    with override("zh-hans"):
        said = [*conditions_in_words(rule), outcome_in_words(rule, tracks)]
        assert not any(one.isascii() for one in said), said


def test_an_operator_changes_rules_on_pages(client, operator, second_operator):
    client.force_login(operator)
    client.post(
        reverse("admin:catalog_ruleset_changelist") + f"{in_force().pk}/copy/",
        {"_form_submitted": "1", "note": "Small ones at once."},
    )
    draft = RuleSet.objects.get(state="draft")
    tenant = TenantFactory(slug="only-here")
    page = reverse("admin:catalog_ruleset_change", args=[draft.pk])
    client.post(
        page.replace("/change/", "/add-rule/"),
        {
            "_form_submitted": "1", "outcome": "review", "track": "security", "quorum": "3", "tenant": "only-here",
            "outside_regions": "EU us-east-1", "limit_kind": "tokens_per_day", "limit_above": "10",
        },
    )  # fmt: skip
    rule = draft.rules.get(position=6)
    assert (rule.tenant, rule.quorum, rule.outside_regions) == (tenant, 3, ["eu", "us-east-1"])
    shown = client.get(page).content.decode()
    assert "No provider offers the model in eu or us-east-1." in shown
    assert "by at least 3 people" in shown
    form = client.get(
        reverse("admin:catalog_rule_change", args=[rule.pk]).replace("/change/", "/change-rule/")
    )
    assert 'value="eu us-east-1"' in form.content.decode()


def test_what_a_rule_rejects_is_said_before_asking(
    draft, operator, second_operator, ask, lab, project, priced_model
):
    rejecting = Row(
        Outcome.REJECT, sentence="Use the small model.", tenant=str(lab.pk), data_classes=("public",)
    )
    rule_sets.add_rule(draft.pk, wanted=rejecting, by=operator)
    rule_sets.add_rule(draft.pk, wanted=Row(Outcome.DURATION, longest_days=30), by=operator)
    put_in_force(draft, operator, second_operator)
    for given, problems in (
        ({"data_class": "public", "duration_days": 30}, {"model": ["Use the small model."]}),
        (
            {"duration_days": 31},
            {"duration_days": ["Such a grant lasts at most 30 days. Ask for 30 days or fewer."]},
        ),
    ):
        with pytest.raises(ValidationError) as refused:
            ask(**given)
        assert refused.value.message_dict == problems
    preview = preview_access_request(
        project, priced_model, expected_tokens_per_day=10, data_class="public", duration_days=90
    )
    assert list(preview.problems) == ["duration_days", "model"]
    assert ask(duration_days=30).state == "pending"


def test_no_request_is_approved_that_new_rules_reject(
    draft, operator, second_operator, ask, review_of, security_reviewer
):
    asked = ask(duration_days=90)
    rule_sets.add_rule(draft.pk, wanted=Row(Outcome.DURATION, longest_days=30), by=operator)
    put_in_force(draft, operator, second_operator)
    with pytest.raises(Conflict, match="at most 30 days"):
        decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="reject", comment="Ask for less.")
    newest = asked.evaluations.order_by("-at")[0]
    assert (newest.answer, newest.rule_set_id) == ("rejected", draft.version)


def test_new_rules_ask_open_requests_for_more(
    draft, operator, second_operator, ask, review_of, security_reviewer
):
    asked = ask()
    rule_sets.add_rule(draft.pk, wanted=Row(Outcome.REVIEW, "compliance"), by=operator)
    put_in_force(draft, operator, second_operator)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    asked.refresh_from_db()
    assert (asked.state, review_of(asked, "compliance").state) == ("pending", "pending")


def demand_two(draft, operator, second_operator):
    """Put rules in force that want two people to approve the security review of every request."""
    rule_sets.add_rule(draft.pk, wanted=Row(Outcome.REVIEW, "security", quorum=2), by=operator)
    put_in_force(draft, operator, second_operator)


def test_new_rules_let_an_open_review_wait_for_more_people(
    draft, operator, second_operator, ask, review_of, security_reviewer
):
    asked = ask()
    demand_two(draft, operator, second_operator)
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    asked.refresh_from_db()
    assert (asked.state, review_of(asked).state, review_of(asked).quorum) == ("pending", "pending", 2)
    decide_review(review_of(asked).pk, by=staff("security-reviewer"), verdict="approve")
    asked.refresh_from_db()
    assert asked.state == "approved"


def test_new_rules_ask_an_approved_review_again_for_more_people(
    draft, operator, second_operator, ask, review_of, security_reviewer, compliance_reviewer
):
    asked = ask(data_class="confidential")
    decide_review(review_of(asked).pk, by=security_reviewer, verdict="approve")
    demand_two(draft, operator, second_operator)
    decide_review(review_of(asked, "compliance").pk, by=compliance_reviewer, verdict="approve")
    asked.refresh_from_db()
    again = review_of(asked)
    assert (asked.state, again.state, again.round, again.quorum) == ("pending", "pending", 2, 2)
    assert "this many people to approve it: 2" in again.reason
    for person in (security_reviewer, staff("security-reviewer")):
        decide_review(again.pk, by=person, verdict="approve")
    asked.refresh_from_db()
    assert asked.state == "approved"


@pytest.mark.django_db(transaction=True)
def test_rules_wait_for_a_decision_that_has_asked_them(draft, operator, second_operator, ask, review_of):
    asked = ask()
    rule_sets.propose_rule_set(draft.pk, by=operator)
    done = queued_behind(
        lambda: rule_sets.put_rule_set_in_force(draft.pk, by=second_operator),
        lambda: _require_still_allowed(asked, facts_now(asked)),
    )
    assert done.state == "in_force"


def test_a_dry_run_shows_whose_outcome_would_change(client, draft, operator, second_operator, ask, lab):
    small = ask()
    sent = ask(model=CatalogModelFactory(name="m-2").name, data_class="confidential")
    compliance = draft.rules.get(position=3)
    rule_sets.change_rule(compliance.pk, wanted=replace(compliance.as_rule, quorum=2), by=operator)
    found = dry_run.dry_run(table_in_force(), RuleSet.objects.get(pk=draft.pk).table)
    assert (found.tried, found.changed, [one.request for one in found.shown]) == (2, 1, [sent.pk])
    rule_sets.propose_rule_set(draft.pk, by=operator)
    client.force_login(second_operator)
    page = reverse("admin:catalog_ruleset_change", args=[draft.pk])
    for shown in (client.get(page), client.get(page.replace("/change/", "/put-in-force/"))):
        text = shown.content.decode()
        assert "Requests of the last 90 days: 2. With another outcome: 1." in text
        assert sent.reference in text
        assert small.reference not in text
        assert "Compliance × 2" in text


def test_a_dry_run_leaves_out_what_no_rule_changes(draft, ask):
    ask()
    found = dry_run.dry_run(table_in_force(), RuleSet.objects.get(pk=draft.pk).table)
    assert (found.tried, found.changed, found.is_cut) == (1, 0, False)

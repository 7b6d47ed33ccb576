"""What usage adds to the rollups is in them from its commit on, before it is folded, while it is, and after."""

import random
from datetime import timedelta

import pytest
from django.db import transaction

from billing import ingest
from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.models import BilledModel
from billing.periods import close_period
from billing.tasks import SCHEDULE
from billing.tasks import fold_rollups as task
from tests.billing.conftest import NOON, one, rows, while_recorded_and_folded
from tests.factories import ApiKeyFactory

VIEWS = ("rollup_hour", "rollup_day", "rollup_estimated")
EVERYTHING = "sum(calls), sum(usage), sum(tokens), sum(amount), min(day), max(hour)"


def sums():
    return {view: rows(f"SELECT {EVERYTHING.replace('max(hour)', 'max(day)')} FROM {view}") for view in VIEWS}


@pytest.fixture
def calls(call, key):
    other = ApiKeyFactory(tenant=key.tenant, project=key.project)
    chance = random.Random(5)
    return [
        call(
            key_id=chance.choice([key, other]).pk,
            model=chance.choice(["aya", "bree", "unpriced"]),
            occurred_at=NOON + timedelta(hours=chance.randrange(40)),
            input=chance.randrange(1000),
            is_exact=chance.random() < 0.8,
        )
        for _ in range(60)
    ]


def test_folding_changes_no_sum(calls, prices):
    record_usage("gateway", calls[:40])
    before = sums()
    assert fold_rollups() > 0
    assert sums() == before
    assert one("SELECT count(*) FROM rollup_delta") == 0
    # On top of what is folded.
    record_usage("gateway", calls[40:])
    before = sums()
    fold_rollups()
    assert sums() == before
    assert before["rollup_day"][0][0] == len(calls)
    assert one("SELECT sum(amount) FROM rollup_day") == one("SELECT sum(amount) FROM usage_event")
    assert before["rollup_estimated"][0][0] == sum(not each.is_exact for each in calls)


@pytest.mark.parametrize("is_closed", [False, True])
def test_few_keys_and_many_leave_the_same_sums(lab, calls, prices, monkeypatch, is_closed):
    """A delta for each call, or one for all calls of a key, model and hour: what they add up to is the same."""
    # Has its number before both.
    BilledModel.objects.create(name="unpriced")
    if is_closed:
        record_usage("gateway", calls[:1])
        close_period(lab, NOON.date().replace(day=1), by=None)
    columns = "period, tenant_id, project_id, key_id, model_id, day, hour, is_unpriced, is_exact"
    quantities = "sum(usage), sum(tokens), sum(calls), sum(amount)"
    found = {}
    for share in (0, 10):
        monkeypatch.setattr(ingest, "MANY_PLACES", share)
        with transaction.atomic():
            assert record_usage("gateway", calls).recorded == len(calls) - is_closed
            deltas = one("SELECT count(*) FROM rollup_delta")
            found[share] = rows(
                f"SELECT {columns}, {quantities} FROM rollup_delta GROUP BY {columns} ORDER BY {columns}"
            )
            assert rows("SELECT sum(usage), sum(calls), sum(amount) FROM rollup_delta") == rows(
                "SELECT sum(usage), count(*), sum(amount) FROM usage_event"
            )
            transaction.set_rollback(True)
        assert (deltas == len(calls)) == (share == 0)
    assert found[0] == found[10]
    assert {row[0] for row in found[0][-1:]} == {NOON.date().replace(day=1, month=11 if is_closed else 10)}


def test_folded_rows_are_one_for_each_key_of_a_rollup(calls, prices):
    for each in calls:
        record_usage("gateway", [each])
    fold_rollups()
    keys = "period, tenant_id, project_id, key_id, model_id, day, is_unpriced"
    assert one("SELECT count(*) FROM rollup_day_folded") == one(
        f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM usage_event) one"
    )


def test_nothing_to_fold_is_no_work(db):
    assert fold_rollups() == 0


@pytest.mark.django_db(transaction=True)
def test_whoever_reads_meanwhile_sees_each_call_once(calls, prices):
    """One statement, one moment: its rollups are its events, whatever recorders and folders do."""
    seen = []

    def read():
        seen.extend(
            rows(
                "SELECT (SELECT count(*) FROM usage_event), (SELECT coalesce(sum(calls), 0) FROM rollup_day), "
                "(SELECT coalesce(sum(calls), 0) FROM rollup_hour)"
            )
        )

    while_recorded_and_folded(calls, read)
    assert [each for each in seen if len(set(each)) > 1] == []
    fold_rollups()
    assert one("SELECT sum(calls) FROM rollup_day_folded") == len(calls)


def test_the_clock_folds(calls, prices):
    record_usage("gateway", calls)
    task()
    assert one("SELECT count(*) FROM rollup_delta") == 0
    assert SCHEDULE["billing-fold-rollups"]["schedule"] <= 10

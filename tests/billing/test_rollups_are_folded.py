"""What usage adds to the rollups is in them from its commit on, before it is folded, while it is, and after."""

import random
from datetime import timedelta

import pytest

from billing.folding import fold_rollups
from billing.ingest import record_usage
from billing.tasks import SCHEDULE
from billing.tasks import fold_rollups as task
from tests.billing.conftest import NOON, one, rows
from tests.concurrency import at_the_same_time
from tests.factories import ApiKeyFactory

VIEWS = ("rollup_hour", "rollup_day", "rollup_estimated")
EVERYTHING = (
    "sum(calls), sum(input), sum(cache_read), sum(output), sum(request), sum(amount), min(day), max(hour)"
)


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
    record_usage("gateway", calls[40:])  # on top of what is folded
    before = sums()
    fold_rollups()
    assert sums() == before
    assert before["rollup_day"][0][0] == len(calls)
    assert one("SELECT sum(amount) FROM rollup_day") == one("SELECT sum(amount) FROM usage_event")
    assert before["rollup_estimated"][0][0] == sum(not each.is_exact for each in calls)


def test_folded_rows_are_one_for_each_key_of_a_rollup(calls, prices):
    for each in calls:
        record_usage("gateway", [each])
    fold_rollups()
    keys = "period, tenant_id, project_id, key_id, model_id, day, is_unpriced"
    assert one("SELECT count(*) FROM rollup_day_folded") == one(
        f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM usage_event) one"
    )


def test_nothing_to_fold_is_no_work():
    assert fold_rollups() == 0


@pytest.mark.django_db(transaction=True)
def test_whoever_reads_meanwhile_sees_each_call_once(calls, prices):
    """One statement, one moment: its rollups are its events, whatever recorders and folders do."""
    seen = []

    def record():
        for start in range(0, len(calls), 6):
            record_usage("gateway", calls[start : start + 6])

    def fold():
        for _ in range(12):
            fold_rollups()

    def read():
        for _ in range(40):
            seen.extend(
                rows(
                    "SELECT (SELECT count(*) FROM usage_event), (SELECT coalesce(sum(calls), 0) FROM rollup_day), "
                    "(SELECT coalesce(sum(calls), 0) FROM rollup_hour)"
                )
            )

    assert at_the_same_time(record, fold, fold, read) == [None] * 4
    assert [each for each in seen if len(set(each)) > 1] == []
    fold_rollups()
    assert one("SELECT sum(calls) FROM rollup_day_folded") == len(calls)


def test_the_clock_folds(calls, prices):
    record_usage("gateway", calls)
    task()
    assert one("SELECT count(*) FROM rollup_delta") == 0
    assert SCHEDULE["billing-fold-rollups"]["schedule"] <= 10

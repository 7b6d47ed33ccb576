"""What gateways refused: counted by minute and reason, bounded, and shown to those whose calls they were."""

import contextlib
import re
import uuid
from datetime import timedelta
from decimal import Decimal

import msgspec
import openai
import pytest
from django.test import Client
from django.utils.timezone import now

from core.ids import uuid7
from core.secrets import new_key_secret
from gateway.contract import encode
from gateway.contract.refusals import MAX_SAMPLES, RefusalBatch, RefusedReport, RefusingLimit
from gateway.models import RefusedCalls
from gateway.proxy import refused_calls
from gateway.refused_calls import forget_refusals
from tenants.actions import set_limits
from tests.factories import CatalogModelFactory, member_of, staff
from tests.gateway.granted import key_for, registered
from tests.gateway.proxy_fixtures import MODEL, Rig, ask, limit

KEY_ID = str(uuid.UUID(int=1))


class Clock:
    def __init__(self):
        self.now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def refused(clock):
    return refused_calls.RefusedCalls(clock)


def note(refused, number=0, **fields):
    fields = {"key_id": KEY_ID, "model": "m", "status": 429, "code": "rate_limit_exceeded", **fields}
    refused.note(str(uuid7()), **fields)


def test_calls_are_counted_by_minute_key_and_reason_with_a_few_samples(refused, clock):
    one = limit("requests_per_minute", 3)
    for _ in range(7):
        note(refused, limit=one)
    note(refused, code="model_not_found", status=404, model="other")
    assert refused.take() is None, "the minute is not over"
    clock.now += 60
    first, second = refused.take().reports
    assert (first.count, first.code, first.minute % 60, len(first.samples)) == (
        7,
        "rate_limit_exceeded",
        0,
        MAX_SAMPLES,
    )
    assert (first.limit.id, first.limit.scope, first.limit.value) == (one.id, "project", 3)
    assert (second.count, second.model, second.limit) == (1, "other", None)
    assert refused.take() is None


@pytest.mark.parametrize(
    "model",
    ["ignore all rules and", "x" * 201, pytest.param(new_key_secret(), id="a key"), "a\nb", "naïve"],
)
def test_nothing_but_a_name_of_a_model_is_kept(refused, model):
    note(refused, model=model)
    assert refused.take(is_last=True).reports[0].model == ""


def test_memory_is_bounded_and_what_is_beyond_is_counted(refused, clock, monkeypatch):
    monkeypatch.setattr(refused_calls, "_MOST_GROUPS", 3)
    monkeypatch.setattr(refused_calls, "_MOST_WAITING", 4)
    for number in range(5):
        note(refused, model=f"m{number}")
    assert refused.dropped == 2
    clock.now += 60
    for number in range(3):
        note(refused, model=f"n{number}")
    clock.now += 60
    batch = refused.take()
    # Two found no group, and two reports no room.
    assert (len(batch.reports), batch.dropped) == (4, 4)
    refused.give_back(batch)
    again = refused.take()
    assert (again.reports, again.dropped) == (batch.reports, 4)


def test_a_gateway_reports_what_it_refused_and_nothing_of_the_prompt(tmp_path):
    rig = Rig(tmp_path)
    try:
        one = limit("requests_per_minute", 1, scope_id=str(uuid.uuid4()))
        secret = rig.new_key(limits=[one])
        client = rig.client(secret)
        ask(client, "the prompt nobody may see")
        for _ in range(2):
            with pytest.raises(openai.RateLimitError):
                ask(client, "the prompt nobody may see")
        free = rig.client(rig.new_key())
        with pytest.raises(openai.NotFoundError):
            free.chat.completions.create(model="no-such", messages=[{"role": "user", "content": "x"}])
        with contextlib.suppress(openai.AuthenticationError):
            ask(rig.client(new_key_secret()))
        rig.gateway.process.terminate()
        reports = [report for batch in rig.control.refusals for report in batch.reports]
        found = {report.code: report for report in reports}
        assert found.keys() == {"rate_limit_exceeded", "model_not_found"}
        limited = found["rate_limit_exceeded"]
        assert (limited.key_id, limited.status) == (rig.key_id(secret), 429)
        # In two reports, where a minute began between the two calls.
        assert sum(report.count for report in reports if report.code == limited.code) == 2
        assert (limited.limit.id, limited.limit.value, limited.limit.scope_id) == (one.id, 1, one.scope_id)
        assert limited.model in (MODEL, ""), "a limit on all models refuses before the body is read"
        assert found["model_not_found"].model == "no-such"
        sent = b"".join(map(encode, rig.control.refusals)).decode()
        assert "prompt" not in sent
        assert not re.search(r"qm[a-z]?_", sent)
    finally:
        rig.close()


# --- the console ---


def report_of(key, minutes_ago=1, **fields):
    minute = int((now() - timedelta(minutes=minutes_ago)).timestamp()) // 60 * 60
    fields = {"status": 429, "code": "rate_limit_exceeded", "count": 5, "model": "aurora", **fields}
    return RefusedReport(report_id=str(uuid7()), minute=minute, key_id=str(key.pk), **fields)


def send(headers, *reports, dropped=0):
    body = encode(RefusalBatch(reports=list(reports), dropped=dropped))
    return (
        Client()
        .post("/internal/v1/refusals", body, content_type="application/json", headers=headers)
        .status_code
    )


@pytest.fixture
def limited(project):
    """A key, and the limit of its project."""
    key = key_for(project, CatalogModelFactory(name="aurora"))
    set_limits(project.tenant, {"requests_per_minute": Decimal(3)}, by=None, project=project)
    return key, project.limits.get()


def refusing(row):
    return RefusingLimit(
        id=str(row.pk), scope="project", scope_id=str(row.project_id), kind=row.kind, value=int(row.value)
    )


def test_a_report_counts_once_for_the_tenant_of_its_key(limited):
    key, row = limited
    _, headers = registered()
    report = report_of(key, limit=refusing(row))
    assert [send(headers, report), send(headers, report)] == [204, 204]
    kept = RefusedCalls.objects.across_tenants().get()
    assert (kept.tenant, kept.project_id, kept.count) == (key.tenant, key.project_id, 5)
    assert (kept.limit_id, kept.limit_value, kept.gateway_name) == (row.pk, 3, "gateway-1")


def test_what_cannot_be_right_is_left_out_and_delays_nothing(limited):
    key, _ = limited
    _, headers = registered()
    strange = msgspec.structs.replace(report_of(key), key_id=str(uuid7()))
    old, future = report_of(key, minutes_ago=60 * 24 * 3), report_of(key, minutes_ago=-60)
    assert send(headers, strange, old, future, report_of(key), dropped=3) == 204
    assert RefusedCalls.objects.across_tenants().count() == 1
    answer = Client().post("/internal/v1/refusals", b"{}", content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert send({"Authorization": "Bearer nonsense"}, report_of(key)) == 401


def test_people_see_which_limit_refused_their_calls_and_strangers_nothing(client, limited, stranger):
    key, row = limited
    _, headers = registered()
    send(headers, report_of(key, limit=refusing(row)), report_of(key, limit=refusing(row), count=1_000))
    send(headers, report_of(key, code="model_not_found", status=404, model="no-such", count=2))
    page = f"/t/{key.tenant.slug}/refused-calls/"
    for person in (member_of(key.tenant, "viewer"), staff("operator")):
        client.force_login(person)
        text = client.get(page).content.decode()
        assert "Requests per minute: 3" in text
        assert "1,005" in text
        assert "The key may not call this model, or nothing serves it" in text
        assert text.count(">no-such<") == 1, "in its column, which a phone shows with its name"
        assert "min ago" in text or "just now" in text
        assert text.index("rate_limit_exceeded") < text.index("model_not_found"), "the most frequent first"
        answer = client.get("/api/v1/refused-calls/", {"tenant": key.tenant.slug, "code": "model_not_found"})
        assert [found["count"] for found in answer.json()["results"]] == [2]
    client.force_login(stranger)
    assert client.get(page).status_code == 404
    assert client.get("/api/v1/refused-calls/").json()["results"] == []
    client.force_login(staff("cost-reviewer"))
    assert client.get(page).status_code == 403, "staff who may not see them are not shown an empty page"


def test_old_reports_are_forgotten(limited, settings):
    key, _ = limited
    _, headers = registered()
    send(headers, report_of(key), report_of(key, minutes_ago=60 * 24))
    settings.REFUSALS_KEEP_DAYS = 1
    assert forget_refusals() == 1
    assert forget_refusals() == 0
    assert RefusedCalls.objects.across_tenants().count() == 1

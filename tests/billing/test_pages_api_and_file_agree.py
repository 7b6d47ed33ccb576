import csv
import io
import re
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from audit.models import AuditEntry
from billing.cost_reports import ask_for_cost_report
from billing.costs import cost_report, cost_rows
from billing.ingest import record_usage
from billing.known_kinds import quantities_of
from billing.models import UsageEvent
from billing.prices import publish_prices
from exports.building import build_export
from exports.files import path_of
from exports.models import Export
from tests.billing.conftest import NOON, PRICED_SINCE, one
from tests.factories import ApiKeyFactory, ProjectFactory, member_of
from tests.usage_records import counted

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


@pytest.fixture
def usage(transactional_db, lab, call, prices):
    """Two projects, three models of which one is unpriced, two months, a price change at an odd hour."""
    lab.timezone = "Asia/Kolkata"
    lab.cost_centre = "CC-1"
    lab.save()
    other = ApiKeyFactory(tenant=lab, project=ProjectFactory(tenant=lab, slug="search", name="Search"))
    changed_at = datetime.fromisoformat("2026-10-15T07:00:00+00:00")
    publish_prices("aya", {"input": Decimal("3.33333333"), "output": Decimal(7), "request": Decimal(1000)},
                   valid_from=changed_at, reason="Next", by=None)  # fmt: skip
    calls = [
        call(
            model=("aya", "bree", "stranger")[n % 7 % 3],
            input=n * 13,
            cache_read=n % 5 * 11,
            output=n % 17,
            reasoning=n % 3,
            occurred_at=NOON + timedelta(hours=5 * n - 700),
            **({"key_id": other.pk} if n % 4 == 0 else {}),
        )
        for n in range(300)
    ]
    record_usage("gateway", calls)
    return calls


def csv_rows(export):
    return list(csv.DictReader(io.StringIO(path_of(export).read_text())))


def test_every_door_gives_the_same_total_to_the_last_digit(usage, lab, finance, client):
    raw = one("SELECT sum(amount) FROM usage_event WHERE day BETWEEN %s AND %s", FIRST, LAST)
    # A sum that floats or cents would miss.
    assert raw.as_tuple().exponent < -8

    report = cost_report(lab, FIRST, LAST)
    for part in (report.now.by_model, report.now.by_project, report.now.by_day, report.now.by_day_and_model):
        assert sum(figures.cost or 0 for figures in part.values()) == raw
    assert sum(kind.cost or 0 for kind in report.by_kind) == report.now.total.cost == raw

    client.force_login(finance)
    page = client.get(reverse("cost", args=["lab"]), {"month": "2026-10"}).content.decode()
    assert Decimal(re.search(r'id="spend" value="([^"]+)"', page)[1]) == raw

    api = APIClient()
    api.force_authenticate(finance)
    for grouping in ("", "day", "month", "day,model", "project,model", "key", "day,model,project,key"):
        answer = api.get(
            "/api/v1/costs/", {"tenant": "lab", "start": FIRST, "end": LAST, "group_by": grouping}
        ).json()
        assert isinstance(answer["total"]["cost"], str)
        assert Decimal(answer["total"]["cost"]) == raw
        assert sum(Decimal(row["cost"] or 0) for row in answer["rows"]) == raw

    export = ask_for_cost_report(lab, start_day=FIRST, end_day=LAST, by=finance)
    build_export(export.pk)
    export = Export.objects.in_tenant(lab).get()
    rows = csv_rows(export)
    assert sum(Decimal(row["amount"]) for row in rows if row["amount"]) == raw == export.total
    for row in rows:
        if row["status"] == "priced":
            assert Decimal(row["amount"]) * 1_000_000 == int(row["quantity"]) * Decimal(
                row["price_per_million"]
            )
        else:
            assert (row["status"], row["amount"], row["price_per_million"]) == ("unpriced", "", "")
    kinds = " + ".join(counted(kind) for kind in ("input", "cache_read", "output", "reasoning"))
    tokens = one(f"SELECT {kinds} FROM usage_event WHERE day BETWEEN %s AND %s", FIRST, LAST)
    assert sum(int(row["quantity"]) for row in rows if row["kind"] != "request") == tokens


def test_a_project_alone_agrees_too(usage, lab, finance):
    project = lab.project_set.get(slug="search")
    where = "project_id = %s AND day BETWEEN %s AND %s"
    raw = one(f"SELECT sum(amount) FROM usage_event WHERE {where}", project.pk, FIRST, LAST)
    report = cost_report(lab, FIRST, LAST, project=project)
    assert report.now.total.cost == sum(kind.cost or 0 for kind in report.by_kind) == raw
    export = ask_for_cost_report(lab, start_day=FIRST, end_day=LAST, by=finance, project=project)
    build_export(export.pk)
    assert Export.objects.in_tenant(lab).get().total == raw
    assert {row["project"] for row in csv_rows(export)} == {"search"}


def test_unpriced_calls_are_shown_and_never_cost_zero(usage, lab, developer, client):
    report = cost_report(lab, FIRST, LAST)
    assert [model for model, _ in report.unpriced] == ["stranger"]
    assert report.now.by_model["stranger"].cost is None
    client.force_login(developer)
    page = client.get(reverse("cost", args=["lab"]), {"month": "2026-10"}).content.decode()
    assert "not priced" in page.lower()


class Month:
    """Calls of October in as many projects and models as a test wants; every third model has no price."""

    def __init__(self, tenant, call):
        self.tenant, self.call = tenant, call
        self.keys, self.models = [], []

    def grow(self, size):
        """Have `size` projects, each with a call to some of `size` models on three days."""
        for n in range(len(self.models), size):
            project = ProjectFactory(tenant=self.tenant, slug=f"project-{n}", name=f"Project {n:03}")
            self.keys.append(ApiKeyFactory(tenant=self.tenant, project=project))
            self.models.append(f"model-{n:03}")
            if n % 3 != 2:
                publish_prices(self.models[n], {"input": n + Decimal("0.33333333"), "output": Decimal(7)},
                               valid_from=PRICED_SINCE, reason="List price", by=None)  # fmt: skip
        pairs = [(key, model) for n, key in enumerate(self.keys) for model in (self.models * 2)[n : n + 4]]
        record_usage("gateway", [
            self.call(key_id=key.pk, model=model, input=n * 13 + 1, cache_read=0, output=n % 17,
                      occurred_at=NOON + timedelta(days=n % 3))
            for n, (key, model) in enumerate(pairs)
        ])  # fmt: skip
        return self

    def events(self, *names):
        """What the calls themselves say, by any of day, model and project: money, calls and tokens by kind."""
        found = {}
        columns = {"day": "day", "model": "model__name", "project": "project__slug"}
        kinds = ("input", "output")
        for event in UsageEvent.objects.in_tenant(self.tenant).values(*columns.values(), "amount", "usage"):
            counts = quantities_of(str(event["usage"]))
            group = tuple(str(event[columns[name]]) for name in names)
            cost, calls, tokens = found.get(group, (None, 0, dict.fromkeys(kinds, 0)))
            if event["amount"] is not None:
                cost = (cost or 0) + event["amount"]
            found[group] = (cost, calls + 1, {kind: tokens[kind] + counts.get(kind, 0) for kind in kinds})
        return found


@pytest.fixture
def month(transactional_db, lab, call):
    return Month(lab, call)


# The page shows 25 rows, and what is left as one.
SIZES = [1, 2, 7, 30]


def rows_of_the_api(api, **question):
    """All rows of an answer, page after page of seven."""
    page, rows = "/api/v1/costs/", []
    question |= {"tenant": "lab", "start": FIRST, "end": LAST, "page_size": 7}
    while page:
        answer = api.get(page, question).json()
        rows += answer["rows"]
        page, question = answer["next"], {}
    return rows


def rows_of_the_page(text, table):
    """Label, and the exact numbers that each row holds beside the rounded ones."""
    (body,) = re.findall(rf'<table[^>]*id="{table}".*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    for row in re.findall(r"<tr>(.*?)</tr>", body, re.DOTALL):
        head = re.search(r'<th scope="row">(.*?)</th>', row, re.DOTALL)[1]
        yield (
            re.sub("<[^>]+>", "", head).strip(),
            re.findall(r'<data value="([^"]*)"', row),
            "Not priced" in row,
        )


@pytest.mark.parametrize("size", SIZES)
def test_the_api_and_the_file_say_of_each_row_what_the_calls_say(month, lab, finance, size):
    calls = month.grow(size).events("day", "model", "project")
    assert len(calls) >= size
    api = APIClient()
    api.force_authenticate(finance)
    told = {}
    for row in rows_of_the_api(api, group_by="day,model,project"):
        group = (row["day"], row["model"], row["project"])
        assert group not in told
        assert row["unpriced_calls"] == (row["calls"] if row["cost"] is None else 0)
        tokens = {kind: row["quantities"].get(kind, 0) for kind in ("input", "output")}
        told[group] = (row["cost"] and Decimal(row["cost"]), row["calls"], tokens)
    assert told == calls

    export = ask_for_cost_report(lab, start_day=FIRST, end_day=LAST, by=finance)
    build_export(export.pk)
    written = {}
    for row in csv_rows(Export.objects.in_tenant(lab).get()):
        group = (row["day"], row["model"], row["project"])
        cost, tokens = written.get(group, (None, {"input": 0, "output": 0}))
        if row["amount"]:
            cost = (cost or 0) + Decimal(row["amount"])
        if row["kind"] in tokens:
            tokens = tokens | {row["kind"]: tokens[row["kind"]] + int(row["quantity"])}
        written[group] = (cost, tokens)
    assert written == {group: (cost, tokens) for group, (cost, _calls, tokens) in calls.items()}


@pytest.mark.parametrize("size", SIZES)
def test_the_page_says_of_each_row_what_the_calls_say(month, finance, client, size):
    month.grow(size)
    client.force_login(finance)
    page = client.get(reverse("cost", args=["lab"]), {"month": "2026-10"}).content.decode()
    by_model = {model: figures for (model,), figures in month.events("model").items()}
    of_projects = {slug: cost for (slug,), (cost, _calls, _tokens) in month.events("project").items()}
    by_project = {key.project.name: of_projects[key.project.slug] or Decimal(0) for key in month.keys}

    shown = list(rows_of_the_page(page, "cost-by-model"))
    assert len(shown) == min(size, 26)
    for place, (label, numbers, is_unpriced) in enumerate(shown):
        mine = [by_model.pop(label)] if place < 25 else list(by_model.values())
        costs = [cost for cost, _calls, _tokens in mine if cost is not None]
        assert is_unpriced == (not costs), label
        tokens = sum(sum(tokens.values()) for _cost, _calls, tokens in mine)
        assert [Decimal(number) for number in numbers[: 1 + bool(costs)]] == [sum(costs), tokens][not costs :]

    shown = list(rows_of_the_page(page, "cost-by-project"))
    assert len(shown) == min(size, 26)
    for label, (number, *_), _ in shown[:25]:
        assert Decimal(number or 0) == by_project.pop(label), label
    assert [Decimal(row[1][0]) for row in shown[25:]] == ([sum(by_project.values())] if by_project else [])


def test_one_project_and_many_need_the_same_queries(month, lab, finance, client):
    client.force_login(finance)
    api = APIClient()
    api.force_authenticate(finance)
    period = {"tenant": "lab", "start": FIRST, "end": LAST, "group_by": "day,model,project,key"}

    def build():
        build_export(ask_for_cost_report(lab, start_day=FIRST, end_day=LAST, by=finance).pk)

    readers = {
        "report": lambda: cost_report(lab, FIRST, LAST),
        "rows": lambda: cost_rows(lab, FIRST, LAST, ("day", "model", "project", "key")),
        "page": lambda: client.get(reverse("cost", args=["lab"]), {"month": "2026-10"}),
        "API": lambda: api.get("/api/v1/costs/", period),
        "file": build,
    }

    def queries():
        counted = {}
        for name, read in readers.items():
            # What is remembered from the first time on.
            read()
            with CaptureQueriesContext(connection) as asked:
                read()
            counted[name] = len(asked)
        return counted

    of_one = queries() if month.grow(1) else None
    of_two = queries() if month.grow(2) else None
    assert queries() == of_two, "counting itself changes nothing"
    month.grow(30)
    assert queries() == of_two
    assert (of_one["report"], of_one["rows"]) == (5, 1)


def test_usage_says_the_same_without_money(usage, lab, finance):
    api = APIClient()
    api.force_authenticate(finance)
    entry_filter = {"tenant": "lab", "start": FIRST, "end": LAST, "group_by": "model"}
    usage_answer, costs = (api.get(f"/api/v1/{name}/", entry_filter).json() for name in ("usage", "costs"))
    assert "cost" not in usage_answer["total"]
    assert [row["quantities"] for row in usage_answer["rows"]] == [row["quantities"] for row in costs["rows"]]


@pytest.mark.parametrize(
    ("change", "status"),
    [({"tenant": "nobody"}, 404), ({"project": "nothing"}, 404), ({"start": "yesterday"}, 400),
     ({"end": "2026-09-01"}, 400), ({"group_by": "weather"}, 400), ({"end": "2028-01-01"}, 400)],
)  # fmt: skip
def test_a_wrong_question_gets_a_clear_answer(lab, finance, change, status):
    api = APIClient()
    api.force_authenticate(finance)
    answer = api.get("/api/v1/costs/", {"tenant": "lab", "start": FIRST, "end": LAST} | change)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"


def test_strangers_and_those_without_the_right_are_told_so(lab, stranger, developer, finance, client):
    export = ask_for_cost_report(lab, start_day=FIRST, end_day=LAST, by=finance)
    pages = [reverse(name, args=["lab", *pk]) for name, pk in (("cost", []), ("export-list", []), ("export-new", []),
             ("export-detail", [export.pk]), ("export-download", [export.pk]))]  # fmt: skip
    api = [f"/api/v1/exports/{export.pk}/", f"/api/v1/exports/{export.pk}/download/",
           "/api/v1/costs/?tenant=lab&start=2026-10-01&end=2026-10-31"]  # fmt: skip
    client.force_login(stranger)
    assert {client.get(page).status_code for page in [*pages, *api]} == {404}
    client.force_login(developer)  # sees costs, exports nothing
    assert [client.get(page).status_code for page in [*pages, *api]] == [
        200,
        403,
        403,
        403,
        403,
        403,
        403,
        200,
    ]
    client.force_login(finance)
    assert [client.get(page).status_code for page in pages] == [200, 200, 200, 200, 409]


def test_a_report_is_asked_for_over_http(transactional_db, usage, lab, finance):
    api = APIClient()
    api.force_authenticate(finance)
    answer = api.post("/api/v1/exports/", {"tenant": "lab", "period": "2026-10"}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    where = answer["Location"].removeprefix("http://testserver")
    assert api.get(f"{where}download/").status_code == 409
    build_export(answer.json()["id"])
    built = api.get(where).json()
    assert (built["state"], built["rows_done"]) == ("done", built["rows_total"])
    file = api.get(f"{where}download/")
    assert file["Content-Disposition"] == 'attachment; filename="costs-lab-20261001-20261031.csv"'
    assert file["X-Content-Type-Options"] == "nosniff"
    assert len(b"".join(file.streaming_content)) == built["size_bytes"]
    verbs = AuditEntry.objects.in_tenant(lab).values_list("verb", flat=True)
    assert {"export.created", "export.downloaded"} <= set(verbs)


@pytest.mark.parametrize("body", [{}, {"tenant": "lab"}, {"tenant": "lab", "period": "October"},
                                  {"tenant": "lab", "start": "2026-10-02", "end": "2026-10-01"},
                                  {"tenant": "lab", "period": "2026-10", "kind": "poems"}])  # fmt: skip
def test_a_report_that_cannot_be_is_refused(lab, finance, body):
    api = APIClient()
    api.force_authenticate(finance)
    assert api.post("/api/v1/exports/", body, format="json").status_code == 400


def test_a_person_asks_for_a_report_on_the_page(lab, finance, client):
    client.force_login(finance)
    new = reverse("export-new", args=["lab"])
    assert client.post(new, {"month": "1999-01"}).status_code == 422
    month = f"{date.today():%Y-%m}"
    assert client.post(new, {"month": month}).status_code == 302
    listed = client.get(reverse("export-list", args=["lab"])).content.decode()
    assert "Waiting" in listed
    row = client.get(reverse("export-detail", args=["lab", Export.objects.in_tenant(lab).get().pk]),
                     headers={"HX-Request": "true"}).content.decode()  # fmt: skip
    assert "<html" not in row


def test_prices_are_read_as_strings(prices, finance):
    api = APIClient()
    api.force_authenticate(finance)
    answer = api.get("/api/v1/prices/", {"model": "aya", "kind": "output"}).json()["results"]
    assert [(price["model"], price["per_million"], price["valid_until"]) for price in answer] == [
        ("aya", "10.00000001", None)
    ]


def test_a_viewer_sees_costs_of_other_months(usage, lab, client):
    client.force_login(member_of(lab, "viewer"))
    cost = reverse("cost", args=["lab"])
    assert client.get(cost).status_code == 200
    assert client.get(cost, {"month": "2026-09", "project": "search"}).status_code == 200
    assert client.get(cost, {"month": "September"}).status_code == 400
    assert client.get(cost, {"project": "nothing"}).status_code == 404
    part = client.get(cost, {"month": "2026-10"}, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div id="cost-body"')

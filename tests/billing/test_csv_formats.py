"""A file for programs and files that Excel opens right, by choice; the rows are the same."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

import audit
from billing.cost_reports import ask_for_cost_report
from billing.ingest import record_usage
from exports.building import build_export
from exports.files import path_of
from exports.models import Export
from privacy.audit_files import ask_for_audit_file
from tests.factories import member_of, staff

DAYS = {"start_day": date(2026, 10, 1), "end_day": date(2026, 10, 31)}
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def used(call, prices, lab, project, finance):
    """A month with money in it, of a project whose cost centre is a number with a sign."""
    lab.name = "Bücher 图书"
    lab.cost_centre = "Bücher 图书"
    lab.save()
    project.cost_centre = "-4711"
    project.save()
    record_usage("gateway", [call()])
    return lab


def built(tenant, by, csv_format, **options):
    export = ask_for_cost_report(tenant, by=by, csv_format=csv_format, **DAYS, **options)
    build_export(export.pk)
    export.refresh_from_db()
    assert export.state == "done", export.error
    return path_of(export).read_bytes()


def read(data, delimiter=","):
    return [*csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter)]


def test_the_usual_file_has_no_mark_and_decimal_points(used, finance):
    data = built(used, finance, "plain")
    assert data.startswith(b"day,tenant,")
    assert data == built(used, finance, "plain")
    assert sum(Decimal(row["amount"]) for row in read(data)) > 0


def test_excel_knows_its_file_by_the_mark(used, finance):
    data = built(used, finance, "excel")
    assert data == b"\xef\xbb\xbf" + built(used, finance, "plain")


def test_a_german_excel_gets_semicolons_and_decimal_commas(used, finance):
    data = built(used, finance, "excel-comma")
    assert data.startswith(b"\xef\xbb\xbfday;tenant;")
    german, plain = read(data, ";"), read(built(used, finance, "plain"))
    assert any("," in row["amount"] for row in german)
    assert all("." not in row["amount"] + row["price_per_million"] for row in german)
    for row in german:
        for column in ("amount", "price_per_million"):
            row[column] = row[column].replace(",", ".")
    assert german == plain


@pytest.mark.parametrize("csv_format", Export.Format.values)
@pytest.mark.parametrize("number", ["-4711", "+4711", "-47.11", "-47,11"])
def test_a_number_with_a_sign_stays_the_key_that_it_is(used, finance, project, csv_format, number):
    project.cost_centre = number
    project.save()
    rows = read(built(used, finance, csv_format), ";" if csv_format == "excel-comma" else ",")
    assert {row["cost_centre"] for row in rows} == {number}


@pytest.mark.parametrize("csv_format", Export.Format.values)
@pytest.mark.parametrize("evil", ["=1+1", "-1+1", "-cmd|' /C calc'!A0", "@SUM(A1)", "\uff1d1+1"])
def test_only_the_file_for_programs_holds_formulas(used, finance, project, csv_format, evil):
    project.cost_centre = evil
    project.save()
    [cell] = {
        row["cost_centre"]
        for row in read(built(used, finance, csv_format), ";" if csv_format == "excel-comma" else ",")
    }
    assert cell == (evil if csv_format == "raw" else f"'{evil}")


@pytest.mark.parametrize("csv_format", Export.Format.values)
@pytest.mark.parametrize(
    ("evil", "safe"),
    [
        ("a;=1+1", "a;'=1+1"),
        ("a,=1+1;@x", "a,'=1+1;'@x"),
        ('a;"=1+1', "a;\"'=1+1"),
        ("a;-cmd|' /C calc'!A0", "a;'-cmd|' /C calc'!A0"),
        ("a,\uff1d1+1", "a,'\uff1d1+1"),
        ("=1;=2", "'=1;'=2"),
    ],
)
def test_no_cell_of_another_countrys_excel_begins_with_a_formula(
    used, finance, project, csv_format, evil, safe
):
    """A German Excel splits a file with commas at its semicolons, an English one that with semicolons at its commas."""
    project.cost_centre = evil
    project.save()
    data = built(used, finance, csv_format)
    [cell] = {row["cost_centre"] for row in read(data, ";" if csv_format == "excel-comma" else ",")}
    assert cell == (evil if csv_format == "raw" else safe)


@pytest.mark.parametrize("centre", ["R&D;-4711", "1,-47.11;x", "a, b; c", "4711-02", "0815", "a=b", "x; -5"])
def test_other_separators_and_signs_change_nothing(used, finance, project, centre):
    project.cost_centre = centre
    project.save()
    assert {row["cost_centre"] for row in read(built(used, finance, "excel"))} == {centre}


def test_the_digest_is_that_of_the_file(used, finance):
    import hashlib

    export = ask_for_cost_report(used, by=finance, csv_format="excel", **DAYS)
    build_export(export.pk)
    export.refresh_from_db()
    assert hashlib.sha256(path_of(export).read_bytes()).hexdigest() == export.sha256


def test_the_page_the_api_the_command_and_staff_choose(client, used, finance, tmp_path):
    client.force_login(finance)
    page = client.get("/t/lab/exports/new/").content.decode()
    assert all(f'value="{value}"' in page for value in Export.Format.values)
    client.post("/t/lab/exports/new/", {"month": "2026-10", "format": "excel-comma"})
    client.post("/t/lab/exports/new/", {"month": "2026-10"})
    body = {"tenant": "lab", "period": "2026-10"}
    answer = client.post("/api/v1/exports/", body | {"format": "excel"}, content_type="application/json")
    assert (answer.status_code, answer.json()["format"]) == (202, "excel")
    answer = client.post("/api/v1/exports/", body | {"format": "xls"}, content_type="application/json")
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, ["format"])
    call_command(
        "export_costs", "lab", "2026-10", email=finance.email, format="raw", output=tmp_path / "costs.csv"
    )
    client.force_login(staff("controller"))
    client.post("/admin/exports/export/new/", {"tenant": used.pk, "month": "2026-10", "format": "excel"})
    chosen = [*Export.objects.in_tenant(used).order_by("pk").values_list("csv_format", flat=True)]
    assert chosen == ["excel-comma", "plain", "excel", "raw", "excel"]
    assert (tmp_path / "costs.csv").read_bytes().startswith(b"day,")


def test_files_of_the_audit_log_have_the_choice_too(client, used):
    owner = member_of(used, "owner")
    audit.record("thing.done", actor=owner, subject=used, reason="Grüße; 你好")
    client.force_login(owner)
    today = date.today()
    days = {"start": today - timedelta(days=1), "end": today + timedelta(days=1)}
    assert (
        client.post(
            "/t/lab/audit/exports/", days | {"kind": "audit_csv", "format": "excel-comma"}
        ).status_code
        == 302
    )
    assert (
        client.post("/t/lab/audit/exports/", days | {"kind": "audit_jsonl", "format": "excel"}).status_code
        == 422
    )
    export = Export.objects.in_tenant(used).get()
    build_export(export.pk)
    data = path_of(export).read_bytes()
    assert data.startswith(b"\xef\xbb\xbfat;tenant;")
    assert "Grüße; 你好" in {row["reason"] for row in read(data, ";")}
    with pytest.raises(ValidationError):
        ask_for_audit_file(
            used, kind="audit_jsonl", start_day=today, end_day=today, by=owner, csv_format="excel"
        )

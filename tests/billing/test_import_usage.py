"""The three public traces, counted here by other means than the importer's, and what it says to broken files."""

import csv
import gzip
import io
import json
import lzma
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from audit.models import AuditEntry
from billing.demo_rule import DEMO_MODELS, DEMO_PROJECTS
from billing.imports import import_key
from billing.ingest import record_usage
from billing.models import UsageEvent
from billing.prices import publish_price_book
from billing.traces import FORMATS, BadLine, read_trace
from tenants.models import ApiKey, Tenant
from tests.billing.conftest import PRICED_SINCE, one, rows
from tests.usage_records import counted

DATA = Path(__file__).resolve().parents[2] / "billing" / "data"
UNTIL = "2026-11-20T08:30:00+00:00"


def imported(path, format_name, *options, **more):
    out, err = io.StringIO(), io.StringIO()
    call_command("import_usage", str(path), "--format", format_name, *options, stdout=out, stderr=err, **more)
    return out.getvalue()


def azure_by_hand():
    with gzip.open(DATA / "azure2023_conv.csv.gz", "rt", newline="") as file:
        lines = list(csv.DictReader(file))
    return (
        len(lines),
        sum(int(x["ContextTokens"]) for x in lines),
        0,
        sum(int(x["GeneratedTokens"]) for x in lines),
        0,
    )


def mooncake_by_hand():
    calls = fresh = cached = output = 0
    seen = set()
    with gzip.open(DATA / "mooncake_conversation_trace.jsonl.gz", "rt") as file:
        for line in file:
            call = json.loads(line)
            hits = len([block for block in call["hash_ids"] if block in seen])
            seen |= set(call["hash_ids"])
            hit_tokens = hits * 512 if hits * 512 < call["input_length"] else call["input_length"]
            calls, cached, output = calls + 1, cached + hit_tokens, output + call["output_length"]
            fresh += call["input_length"] - hit_tokens
    return calls, fresh, cached, output, 0


def servegen_by_hand(most):
    calls = input_ = output = reasoning = 0
    with lzma.open(DATA / "servegen_deepseek-r1_events.csv.xz", "rt") as file:
        for line in list(file)[1 : most + 1]:
            fields = line.strip().split(",")
            calls, input_ = calls + 1, input_ + int(fields[2])
            output, reasoning = output + int(fields[4]), reasoning + int(fields[5])
    return calls, input_, 0, output - reasoning, reasoning


@pytest.fixture
def part_of_servegen(tmp_path):
    """The first 20,000 of its 347,967 calls: the whole is what `make demo` and benchmarks/ingest.py take."""
    part = tmp_path / "part.csv"
    with lzma.open(DATA / "servegen_deepseek-r1_events.csv.xz", "rt") as file:
        part.write_text("".join(line for line, _ in zip(file, range(20_001), strict=False)))
    return part


@pytest.mark.parametrize("format_name", ["azure", "mooncake", "servegen"])
def test_a_traces_totals_are_those_of_the_file(transactional_db, part_of_servegen, format_name):
    path, expected = {
        "azure": (DATA / "azure2023_conv.csv.gz", azure_by_hand),
        "mooncake": (DATA / "mooncake_conversation_trace.jsonl.gz", mooncake_by_hand),
        "servegen": (part_of_servegen, lambda: servegen_by_hand(20_000)),
    }[format_name]
    prices = {
        "input": Decimal("0.55"),
        "cache_read": Decimal("0.14"),
        "output": Decimal("2.19"),
        "reasoning": Decimal("3"),
    }
    publish_price_book([(model, prices) for model in DEMO_MODELS], valid_from=PRICED_SINCE, reason="Demo")
    assert "calls added" in imported(path, format_name, "--assign", "demo", "--until", UNTIL)
    totals = expected()
    calls, fresh, cached, output, reasoning = totals
    for table, count in (
        ("usage_event", "count(*)"),
        ("rollup_hour", "sum(calls)"),
        ("rollup_day", "sum(calls)"),
        ("rollup_month", "sum(calls)"),
        ("rollup_tenant_month", "sum(calls)"),
    ):
        sums = ", ".join([count, *map(counted, ("input", "cache_read", "output", "reasoning"))])
        assert rows(f"SELECT {sums} FROM {table}") == [totals]
    assert one("SELECT tenant_id FROM usage_import") is None, "the demo deals its calls out"
    money = (
        fresh * prices["input"] + cached * prices["cache_read"] + output * prices["output"]
        + reasoning * prices["reasoning"]
    ) / 1_000_000  # fmt: skip
    assert one("SELECT sum(amount) FROM rollup_day") == one("SELECT sum(amount) FROM cost_detail") == money

    before = rows("SELECT * FROM rollup_day ORDER BY 1, 2, 3, 4, 5, 6, 7, 8")
    # Remembers until when it was.
    said = imported(path, format_name, "--assign", "demo")
    assert f"nothing added, {calls:,} were already there" in said
    assert rows("SELECT * FROM rollup_day ORDER BY 1, 2, 3, 4, 5, 6, 7, 8") == before


def test_the_servegen_trace_is_whole_and_readable():
    lines = list(read_trace(DATA / "servegen_deepseek-r1_events.csv.xz", "servegen"))
    assert (len(lines), sum(isinstance(line, BadLine) for line in lines)) == (347_967, 0)
    assert (
        sum(r.usage.get("input", 0) for r in lines),
        sum(r.usage.get("output", 0) + r.usage.get("reasoning", 0) for r in lines),
    ) == (
        434_811_929,
        516_961_804,
    )


def test_the_demo_reaches_every_project_model_and_month(transactional_db, part_of_servegen):
    imported(part_of_servegen, "servegen", "--assign", "demo", "--until", UNTIL)
    imported(DATA / "azure2023_conv.csv.gz", "azure", "--assign", "demo", "--until", UNTIL)
    assert one("SELECT count(DISTINCT project_id) FROM rollup_day") == len(DEMO_PROJECTS) == 9
    assert one("SELECT count(DISTINCT tenant_id) FROM rollup_day") == 3
    assert one("SELECT count(DISTINCT model_id) FROM rollup_day") == len(DEMO_MODELS) == 5
    first, last = rows("SELECT min(occurred_at), max(occurred_at) FROM usage_event")[0]
    assert first >= datetime(2026, 8, 1, tzinfo=UTC)
    assert last <= datetime.fromisoformat(UNTIL)
    assert one("SELECT count(DISTINCT day) FROM rollup_day") > 100
    assert set(ApiKey.objects.across_tenants().values_list("state", "digest")) == {("revoked", None)}


BROKEN = {
    "azure": (
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
        "2023-11-16 18:15:46.6805900,374,44\r\n"
        "2023-11-16 18:15:50.99,396,109\r\n"
        "2023-11-16 25:15:50.9951690,396,109\r\n"
        "2023-11-16 18:15:50.9951690,-3,109\r\n"
        "2023-11-16 18:15:50.9951690,3\r\n"
        "\r\n"
        "2023-11-16 18:15:50.9951690,99999999999,1\r\n",
        [3, 4, 5, 6, 7, 8],
    ),
    "mooncake": (
        '{"timestamp": 0, "input_length": 10, "output_length": 5, "hash_ids": [0]}\n'
        '{"timestamp": 0, "input_length": "10", "output_length": 5, "hash_ids": [0]}\n'
        '{"timestamp": 0, "input_length": 10, "output_length": 5}\n'
        '{"timestamp": 0, "input_length": 10.5, "output_length": 5, "hash_ids": []}\n'
        '{"timestamp": 0, "input_length": 10, "output_length": 5, "hash_ids": ["a"]}\n'
        "[1, 2]\n"
        '{"timestamp": 0,\n',
        [2, 3, 4, 5, 6, 7],
    ),
    "servegen": (
        "ms,client,input_tokens,image_tokens,output_tokens,reasoning_tokens,image_count\n"
        "0,23,311,0,594,513,0\n"
        "0,23,311,0,594,595,0\n"
        "0,23,3e2,0,594,513,0\n"
        "0,23,311,0,594,513\n"
        "0,23,311,0,594,513,0,9\n",
        [3, 4, 5, 6],
    ),
    "jsonl": (
        '{"occurred_at": "2026-10-14T12:00:00Z", "model": "aya", "input": 10}\n'
        '{"occurred_at": "2026-10-14T12:00:00", "model": "aya", "input": 10}\n'
        '{"occurred_at": "2026-10-14T12:00:00Z", "model": "aya", "inputs": 10}\n'
        '{"occurred_at": "2026-10-14T12:00:00Z", "model": "aya", "input": -1}\n'
        '{"occurred_at": "2026-10-14T12:00:00Z", "model": 5, "input": 1}\n'
        '{"model": "aya"}\n',
        [2, 3, 4, 5, 6],
    ),
}


@pytest.mark.parametrize("format_name", sorted(BROKEN))
def test_bad_lines_are_named_by_number_and_nothing_is_imported(lab, project, tmp_path, capsys, format_name):
    text, bad = BROKEN[format_name]
    path = tmp_path / "broken"
    path.write_bytes(text.encode())
    err = io.StringIO()
    with pytest.raises(CommandError, match=f"{len(bad)} bad lines. Nothing was imported"):
        call_command("import_usage", str(path), "--format", format_name, "--tenant", "lab", "--project", "letters",
                     "--model", "aya", "--start", "2026-10-01", stderr=err)  # fmt: skip
    assert [int(line.split(":")[1]) for line in err.getvalue().splitlines()] == bad
    assert UsageEvent.objects.across_tenants().count() == 0
    assert one("SELECT count(*) FROM usage_import") == 0


LEDGER_REFUSES = {
    "azure": [b"1999-11-16 18:15:46.6805900,374,44", b"2999-11-16 18:15:46.6805900,374,44"],
    "azure tokens": [b"2025-11-16 18:15:46.6805900,999999999999,44"],
    "mooncake": [b'{"timestamp": 900000000000, "input_length": 10, "output_length": 5, "hash_ids": [0]}'],
    "mooncake tokens": [
        b'{"timestamp": 0, "input_length": 100000000000, "output_length": 5, "hash_ids": [0]}',
        b"[" * 9000 + b"]" * 9000,
    ],
    "servegen tokens": [b"0,23,311,0,100000000000,513,0"],
    "jsonl": [
        b'{"occurred_at": "1999-10-14T12:00:00Z", "model": "aya", "input": 10}',
        b'{"occurred_at": "9999-10-14T12:00:00Z", "model": "aya", "input": 10}',
        b'{"occurred_at": "2026-10-14T12:00:00Z", "model": "' + b"a" * 121 + b'", "input": 10}',
        b'{"occurred_at": "2026-10-14T12:00:00Z", "model": "ay\\u202ea", "input": 10}',
        b'{"occurred_at": "2026-10-14T12:00:00Z", "model": "aya\\u2028", "input": 10}',
    ],
}


@pytest.mark.parametrize("what", sorted(LEDGER_REFUSES))
def test_what_the_ledger_would_set_aside_is_a_bad_line(lab, project, tmp_path, what):
    format_name = what.split()[0]
    path = tmp_path / "broken"
    header, _ = FORMATS[format_name]
    path.write_bytes(b"\n".join([header] * (header is not None) + LEDGER_REFUSES[what]) + b"\n")
    with pytest.raises(CommandError, match=f"{len(LEDGER_REFUSES[what])} bad lines. Nothing was imported"):
        call_command("import_usage", str(path), "--format", format_name, "--tenant", "lab", "--project", "letters",
                     "--model", "aya", "--start", "2026-10-01", stderr=io.StringIO())  # fmt: skip
    assert one("SELECT count(*) FROM usage_event") == one("SELECT count(*) FROM quarantined_event") == 0


@pytest.mark.parametrize("format_name", ["azure", "servegen"])
def test_a_file_of_another_format_is_refused_at_its_header(lab, project, tmp_path, format_name):
    path = tmp_path / "other"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CommandError, match="1 bad lines"):
        imported(
            path,
            format_name,
            "--tenant",
            "lab",
            "--project",
            "letters",
            "--model",
            "m",
            "--start",
            "2026-10-01",
        )


def test_a_damaged_archive_is_an_error_in_words(lab, project, tmp_path):
    path = tmp_path / "cut.csv.gz"
    path.write_bytes((DATA / "azure2023_conv.csv.gz").read_bytes()[:5000])
    with pytest.raises(CommandError, match="is not readable"):
        imported(path, "azure", "--tenant", "lab", "--project", "letters", "--model", "m")


def test_one_projects_usage_keeps_its_dates(lab, project, tmp_path):
    path = tmp_path / "usage.jsonl"
    path.write_text('{"occurred_at": "2026-10-14T12:00:00+02:00", "model": "aya", "input": 10, "audio": 3}\n'
                    '{"occurred_at": "2026-10-14T12:00:01Z", "output": 4, "status": "error"}')  # fmt: skip
    imported(path, "jsonl", "--tenant", "lab", "--project", "letters", "--model", "bree")
    events = rows(
        f"SELECT occurred_at, {counted('audio', 'usage')}, {counted('request', 'usage')}, status FROM usage_event "
        "ORDER BY 1"
    )
    assert events == [(datetime(2026, 10, 14, 10, tzinfo=UTC), 3, 1, "ok"),
                      (datetime(2026, 10, 14, 12, 0, 1, tzinfo=UTC), 0, 0, "error")]  # fmt: skip
    assert one("SELECT tenant_id FROM usage_import") == lab.pk


def test_the_same_file_cannot_be_somewhere_else_as_well(lab, project, tmp_path):
    path = tmp_path / "usage.jsonl"
    path.write_text('{"occurred_at": "2026-10-14T12:00:00Z", "input": 10}\n')
    imported(path, "jsonl", "--tenant", "lab", "--project", "letters", "--model", "aya")
    with pytest.raises(CommandError, match="cannot be assigned twice"):
        imported(path, "jsonl", "--tenant", "lab", "--project", "letters", "--model", "bree")


def test_the_import_key_opens_nothing_and_is_made_once(project):
    key = import_key(project)
    assert import_key(project) == key
    assert (key.state, key.digest) == ("revoked", None)
    assert AuditEntry.objects.across_tenants().filter(verb="api_key.made_for_import").count() == 1


def test_who_asks_wrongly_is_told_what_to_say(lab, project, tmp_path):
    path = tmp_path / "usage.jsonl"
    path.write_text("")
    for options, answer in (((), "Give the owner"), (("--tenant", "nobody"), "no tenant"),
                            (("--tenant", "lab", "--project", "no"), "no project")):  # fmt: skip
        with pytest.raises(CommandError, match=answer):
            imported(path, "jsonl", *options)
    with pytest.raises(CommandError, match="no dates"):
        imported(path, "mooncake", "--tenant", "lab", "--project", "letters", "--model", "m")
    assert Tenant.objects.count() == 1


def test_an_import_cut_short_is_completed_by_repeating_it(
    transactional_db, tmp_path, monkeypatch, lab, project
):
    path = tmp_path / "usage.jsonl"
    path.write_text(
        "".join(f'{{"occurred_at": "2026-10-14T12:00:{n:02}Z", "input": {n}}}\n' for n in range(60))
    )
    from billing import imports

    monkeypatch.setattr(imports, "IMPORT_BATCH", 20)
    monkeypatch.setattr(imports.record_all, "__kwdefaults__", {"batch_size": 20})
    done = []

    def killed(source, batch):
        if done:
            raise KeyboardInterrupt
        done.append(batch)
        return original(source, batch)

    original = imports.record_batch
    monkeypatch.setattr(imports, "record_batch", killed)
    options = ("--tenant", "lab", "--project", "letters", "--model", "aya")
    with pytest.raises(KeyboardInterrupt):
        imported(path, "jsonl", *options)
    assert one("SELECT count(*) FROM usage_event") == 20
    monkeypatch.setattr(imports, "record_batch", original)
    assert "40 calls added, 20 were already there" in imported(path, "jsonl", *options)
    assert one("SELECT count(*) FROM usage_event") == 60
    assert record_usage("trace:jsonl", []).recorded == 0


AZURE_LINES = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n"


def test_a_file_that_windows_tools_saved_is_the_same_file(tmp_path):
    plain, marked = tmp_path / "plain.csv", tmp_path / "marked.csv"
    plain.write_bytes(AZURE_LINES.encode())
    marked.write_bytes(AZURE_LINES.encode("utf-8-sig"))
    assert [*read_trace(marked, "azure")] == [*read_trace(plain, "azure")]
    assert len([*read_trace(plain, "azure")]) == 1
    line = '{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": []}\r\n'
    packed = tmp_path / "marked.jsonl.gz"
    packed.write_bytes(gzip.compress(line.encode("utf-8-sig")))
    [row] = read_trace(packed, "mooncake")
    assert (row.line, row.usage) == (1, {"input": 1, "output": 1})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_another_encoding_is_refused_with_what_to_do(tmp_path, encoding):
    path = tmp_path / "usage.csv"
    path.write_bytes(AZURE_LINES.encode(encoding))
    [bad] = read_trace(path, "azure")
    assert isinstance(bad, BadLine)
    assert bad.line == 1
    assert "UTF-16" in bad.reason or "UTF-32" in bad.reason
    assert "Save it as UTF-8" in bad.reason

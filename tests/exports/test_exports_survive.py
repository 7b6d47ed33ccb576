import errno
import os
import re
import signal
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django.utils.timezone import now

import audit
from audit.models import AuditEntry
from billing.cost_reports import ask_for_cost_report
from billing.ingest import record_usage
from core.errors import Conflict
from exports import building, tasks
from exports.actions import file_for_download
from exports.building import build_export
from exports.files import path_of
from exports.models import Export
from tests.billing.conftest import NOON

DAYS = {"start_day": date(2026, 10, 1), "end_day": date(2026, 10, 31)}


@pytest.fixture(autouse=True)
def files(settings, tmp_path):
    settings.EXPORT_DIR = tmp_path / "exports"


@pytest.fixture
def queued(transactional_db, lab, finance, call, prices):
    record_usage("gateway", [call(occurred_at=NOON + timedelta(hours=n)) for n in range(20)])
    return ask_for_cost_report(lab, by=finance, **DAYS)


def test_building_twice_builds_once(queued):
    tasks.build_export(str(queued.tenant_id), str(queued.pk))
    first = path_of(queued).stat()
    tasks.build_export(str(queued.tenant_id), str(queued.pk))
    assert path_of(queued).stat().st_mtime_ns == first.st_mtime_ns
    assert path_of(queued).stat().st_mode & 0o777 == 0o600
    queued.refresh_from_db()
    assert (queued.state, queued.attempts) == ("done", 1)


def test_while_one_worker_builds_another_leaves_it_alone(queued):
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('export'), hashtext(%s))", [str(queued.pk)])
        tasks.build_export(str(queued.tenant_id), str(queued.pk))
        queued.refresh_from_db()
        assert queued.state == "queued"


def test_a_killed_workers_report_is_completed_by_the_sweep(queued, settings, tmp_path, monkeypatch):
    """The worker is a process of its own, killed between two rows."""
    script = f"""
import django, os, signal; django.setup()
from django.conf import settings; from pathlib import Path
settings.EXPORT_DIR = Path({str(settings.EXPORT_DIR)!r})
from exports import building
class Stop(building._Progress):
    def note(self, rows_done, **also):
        super().note(rows_done, **also)
        if rows_done == 2:
            os.kill(os.getpid(), signal.SIGKILL)
building._Progress = Stop
from core.scope import tenant_scope
with tenant_scope({str(queued.tenant_id)!r}):
    building.build_export({str(queued.pk)!r})
"""
    parts = connection.settings_dict
    url = f"postgresql://{parts['USER']}:{parts['PASSWORD']}@{parts['HOST']}:{parts['PORT']}/{parts['NAME']}"
    worker = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True,
                            env=os.environ | {"DATABASE_URL": url})  # fmt: skip
    assert worker.returncode == -signal.SIGKILL, worker.stderr
    queued.refresh_from_db()
    assert (queued.state, queued.attempts) == ("running", 1)
    assert not path_of(queued).exists()

    sent = []
    monkeypatch.setattr(tasks.build_export, "delay", lambda *ids: sent.append(ids))
    tasks.build_exports_left_alone()
    # It may still be alive.
    assert sent == []
    Export.objects.across_tenants().update(heartbeat_at=now() - timedelta(minutes=1))
    tasks.build_exports_left_alone()
    assert sent == [(str(queued.tenant_id), str(queued.pk))]
    # The dead worker's connection, and its lock, end with it.
    for _ in range(50):
        tasks.build_export(*sent[0])
        queued.refresh_from_db()
        if queued.state == "done":
            break
        time.sleep(0.1)
    assert (queued.state, queued.attempts) == ("done", 2)
    assert len(list(path_of(queued).parent.iterdir())) == 1


def test_a_report_nobody_can_finish_fails_in_words(queued):
    Export.objects.across_tenants().update(attempts=building.ATTEMPTS)
    tasks.build_export(str(queued.tenant_id), str(queued.pk))
    queued.refresh_from_db()
    assert queued.state == "failed"
    assert "worker died" in queued.error


def test_a_full_disk_is_a_failure_that_says_so(queued, settings, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    settings.EXPORT_DIR = blocked
    tasks.build_export(str(queued.tenant_id), str(queued.pk))
    queued.refresh_from_db()
    assert queued.state == "failed"
    assert str(queued.pk) in queued.error


def test_a_failed_report_leaves_no_half_file_on_a_full_disk(queued, settings, monkeypatch):
    def is_full(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(building._Progress, "note", is_full)  # called between two writes
    tasks.build_export(str(queued.tenant_id), str(queued.pk))
    queued.refresh_from_db()
    assert queued.state == "failed"
    assert list(settings.EXPORT_DIR.iterdir()) == []


def test_progress_is_visible_while_it_builds(queued, monkeypatch):
    seen = []
    monkeypatch.setattr(building, "PROGRESS_EVERY", 0.0)
    original = building._Progress.note

    def watch(self, rows_done, **also):
        original(self, rows_done, **also)
        with psycopg.connect(
            os.environ["DATABASE_OWNER_URL"], dbname=connection.settings_dict["NAME"]
        ) as onlooker:
            seen.append(
                onlooker.execute("SELECT state, rows_done, rows_total FROM exports_export").fetchone()
            )

    monkeypatch.setattr(building._Progress, "note", watch)
    build_export(queued.pk)
    assert seen[0] == ("running", 0, 4)
    # And once more when all is written.
    assert [done for _, done, _ in seen[1:]] == [0, 1, 2, 3, 4, 4]


def test_cells_that_a_spreadsheet_would_execute_are_neutralised(queued, lab, project, finance):
    lab.cost_centre = '=HYPERLINK("http://evil.example")'
    lab.save()
    for evil in ("=1+1", "+1+1", "-1+1", "-cmd|x", "@SUM(A1)", "\uff1d1+1"):
        project.cost_centre = evil
        project.save()
        export = ask_for_cost_report(lab, by=finance, **DAYS)
        build_export(export.pk)
        assert f"'{evil}" in path_of(export).read_bytes().decode()
    project.cost_centre = ""
    project.save()
    build_export(queued.pk)
    assert "\"'=HYPERLINK(" in path_of(queued).read_text()


def test_an_empty_month_is_a_file_with_a_header(transactional_db, lab, finance):
    export = ask_for_cost_report(lab, by=finance, **DAYS)
    build_export(export.pk)
    table = Path("docs/billing.md").read_text().partition("| column | meaning |")[2].partition("\n\n")[0]
    documented = [
        name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.partition(" | ")[0])
    ]
    assert documented[:4] == ["day", "tenant", "project", "cost_centre"]
    assert path_of(export).read_text() == ",".join(documented) + "\n"
    export.refresh_from_db()
    assert (export.total, export.rows_total) == (0, 0)


def test_files_go_when_their_date_has_passed(queued, finance):
    build_export(queued.pk)
    Export.objects.across_tenants().update(expires_at=now() - timedelta(seconds=1))
    tasks.expire_exports()
    assert not path_of(queued).exists()
    with pytest.raises(Conflict, match="expired"):
        file_for_download(queued.pk, by=finance)


@pytest.mark.parametrize("path", ["/t/lab/exports/{}/download/", "/api/v1/exports/{}/download/"])
def test_a_file_that_goes_after_the_check_has_expired(queued, client, finance, monkeypatch, path):
    build_export(queued.pk)
    path_of(queued).unlink()
    # The check still found the file.
    monkeypatch.setattr(file_for_download, "_state", None)
    client.force_login(finance)
    answer = client.get(path.format(queued.pk))
    assert answer.status_code == 409
    assert "expired" in answer.content.decode()
    assert not AuditEntry.objects.in_tenant(queued.tenant).filter(verb="export.downloaded").exists()


def test_a_download_that_cannot_be_recorded_leaves_no_open_file(queued, finance, monkeypatch):
    build_export(queued.pk)
    path = path_of(queued)

    def fail(*_, **__):
        raise RuntimeError("the audit log is away")

    monkeypatch.setattr(audit, "record", fail)
    # The traceback keeps the function's variables, so nothing is collected before the check.
    with pytest.raises(RuntimeError, match="audit log") as failed:
        file_for_download(queued.pk, by=finance)
    assert failed.traceback
    assert str(path) not in {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}

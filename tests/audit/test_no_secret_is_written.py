"""The scanner that searches every test's audit entries and log lines finds what is planted."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from config.logging import cut_secrets
from core.leaks import secret_in, without_secrets
from core.secrets import new_secret
from tests.secret_scanner import Watch

ROOT = Path(__file__).parents[2]
PLANTED = """
import logging

import pytest

from tests.factories import TenantFactory, UserFactory


def test_a_password_in_a_log(db):
    UserFactory(password="a planted password")
    logging.getLogger("planted").warning("they typed a planted password")


def test_a_token_in_an_audit_entry(db):
    from audit.models import AuditEntry
    from core.secrets import new_secret
    AuditEntry.objects.create(tenant=TenantFactory(), actor_label="x", verb="planted.entry", subject_type="x",
                              subject_id="1", subject_label=new_secret("qmp"))


def test_a_session_in_a_log(client, db):
    user = UserFactory()
    client.force_login(user)
    logging.getLogger("planted").warning("session %s", client.session.session_key)


def test_nothing_is_planted_here(client, db):
    client.force_login(UserFactory())
    logging.getLogger("planted").warning("all is well")
"""


def test_what_is_planted_is_found(tmp_path, lab):
    """Each planted leak fails its own test, names it and shows the line; the honest test passes.

    That run has a name of its own, and so a database: under ours it would end ours.
    """
    worker = f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_planted"
    file = ROOT / "tests" / "audit" / f"planted_{tmp_path.name}.py"
    file.write_text(PLANTED)
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(file)],
            cwd=ROOT, env=os.environ | {"PYTEST_XDIST_WORKER": worker}, capture_output=True, text=True, timeout=110,
        )  # fmt: skip
    finally:
        file.unlink()
    said = answer.stdout
    assert answer.returncode == 1, said + answer.stderr
    for name, place in {
        "test_a_password_in_a_log": "The log of planted holds a password or secret made in this run",
        "test_a_token_in_an_audit_entry": "The audit entry 'planted.entry' holds one of our keys or tokens",
        "test_a_session_in_a_log": "The log of planted holds a secret made in this run",
    }.items():
        assert f"{name} wrote a secret where it can be read later" in said
        assert place in said
    assert "test_nothing_is_planted_here wrote" not in said
    lab.refresh_from_db()


@pytest.mark.parametrize("prefix", ["qm", "qmp", "qmg", "qms"])
def test_what_looks_like_a_secret_is_known(prefix):
    secret = new_secret(prefix)
    assert secret_in(f"Authorization: Bearer {secret}, please")
    assert secret not in without_secrets(f"?token={secret}&x=1")
    assert not secret_in(secret[:-1] + ("0" if secret[-1] != "0" else "1"))


def test_logs_cut_what_callers_send():
    secret = new_secret("qm")
    event = cut_secrets(
        None, "info", {"user_agent": f"curl {secret}", "args": [{"deep": secret}], "code": 200}
    )
    assert secret not in str(event)
    assert event["code"] == 200


def test_a_secret_in_a_user_agent_is_not_logged(client, owner, capsys, caplog):
    secret = new_secret("qm")
    with caplog.at_level(logging.INFO):
        client.force_login(owner)
        client.get("/t/lab/", headers={"user-agent": f"curl {secret}"})
    assert "curl qm_" in caplog.text
    assert secret not in caplog.text
    structlog.get_logger("audit").info("asked", token=secret)


def test_secrets_are_searched_as_words():
    watch = Watch()
    watch.remember("abcdefghijklmnopqrst")
    watch.write("A log", "abcdefghijklmnopqrstuvwxyz")  # another, longer word
    assert watch.finds() == []
    watch.write("A log", '{"key": "abcdefghijklmnopqrst"}')
    assert watch.finds() == ['A log holds a secret made in this run: {"key": "abcdefghijklmnopqrst"}']

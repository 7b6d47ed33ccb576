"""The demo as its reader starts it: from nothing, walked by the tour, killed, started again with its data."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
import requests

from launcher.local import LocalDirectory
from launcher.ports import free_port
from launcher.processes import marked_processes

ROOT = Path(__file__).resolve().parents[2]
GIVEN = ("DATABASE_URL", "CELERY_BROKER_URL", "GATEWAY_REDIS_URL", "SECRET_KEY", "DJANGO_SETTINGS_MODULE")
PATHS = ("CONSOLE_URL", "GATEWAY_URL", "EXPORT_DIR", "ENGINE_STATE_DIR", "STATIC_ROOT")
# Three on a quiet machine; the tests may have to share theirs.
PATIENCE_MINUTES = 10
# Whichever test a worker begins with starts the demo.
pytestmark = pytest.mark.timeout(PATIENCE_MINUTES * 60 + 300)

# By what is missing, the calls that could not have happened: whoever looks into the catalog today sees them as
# spending on a model that the project may not use.
IMPOSSIBLE_CALLS = """
SELECT count(*) AS calls,
       count(*) FILTER (WHERE NOT EXISTS (
           SELECT FROM catalog_grant g JOIN catalog_catalogmodel m ON m.id = g.model_id
            WHERE g.project_id = e.project_id AND m.name = b.name AND e.occurred_at >= g.valid_from
              AND e.occurred_at < least(g.valid_until, g.revoked_at))) AS without_a_grant,
       count(*) FILTER (WHERE NOT EXISTS (
           SELECT FROM tenants_apikey k
            WHERE k.id = e.key_id AND k.project_id = e.project_id AND b.name = ANY(k.model_names)
              AND e.occurred_at >= k.claimed_at AND e.occurred_at < least(k.expires_at, k.revoked_at, 'infinity')
       )) AS without_a_key,
       count(*) FILTER (WHERE NOT EXISTS (
           SELECT FROM deployments_routeentry r JOIN deployments_route t ON t.id = r.route_id
             JOIN catalog_catalogmodel m ON m.id = t.model_id WHERE m.name = b.name AND r.weight > 0
       )) AS without_a_route,
       count(*) FILTER (WHERE e.is_unpriced) AS without_a_price
  FROM usage_event e JOIN billed_model b ON b.id = e.model_id
"""


class Demo:
    """`manage.py demo` in a directory of its own, without what the tests' own servers put into the environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.console_port, self.gateway_port = free_port(), free_port()
        self.environment = {
            name: value for name, value in os.environ.items() if name not in GIVEN + PATHS
        } | {
            "LOCAL_DIR": str(directory),
            "CONSOLE_PORT": str(self.console_port),
            "GATEWAY_PORT": str(self.gateway_port),
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> float:
        """Start it and wait until it says that it is up; return how many seconds that took."""
        began = time.monotonic()
        said = self.directory.with_suffix(".txt")
        with said.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        while "Quartermaster is up" not in said.read_text():
            assert self.process.poll() is None, said.read_text()[-3000:]
            assert time.monotonic() - began < PATIENCE_MINUTES * 60, said.read_text()[-3000:]
            time.sleep(0.1)
        return time.monotonic() - began

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=150,
        )  # fmt: skip

    @property
    def installation(self) -> dict:
        return json.loads((self.directory / "demo.json").read_text())

    def api(self, role: str, path: str, **params: str) -> dict:
        token = next(each["token"] for each in self.installation["accounts"] if each["role"] == role)
        answer = requests.get(
            f"http://127.0.0.1:{self.console_port}/api/v1/{path}",
            params=params, headers={"Authorization": f"Bearer {token}"}, timeout=10,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.json()

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo") / "local")
    demo.start()
    yield demo
    if demo.process and demo.process.poll() is None:
        demo.end(signal.SIGTERM)


def test_the_tour_walks_the_main_path_of_a_new_demo(demo):
    first = demo.manage("tour", "--patience", "5")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "The main path is open." in first.stdout
    assert [line[0] for line in first.stdout.splitlines() if line[0].isdigit()] == list("233455555666678")
    people = {word for word in first.stdout.split() if word.endswith(".example")}
    assert len(people) == 5, "a developer, two reviewers, finance and a controller"


def test_the_tour_ends_at_the_first_difference(demo, tmp_path):
    """A tour that cannot fail would prove nothing: here the developer's password is wrong."""
    wrong = demo.installation
    for account in wrong["accounts"]:
        account["password"] = "wrong"
    path = tmp_path / "demo.json"
    path.write_text(json.dumps(wrong))
    tour = demo.manage("tour", "--installation", str(path))
    assert tour.returncode != 0
    assert "could not sign in" in tour.stderr


def test_every_call_of_the_past_could_have_happened(demo):
    where = LocalDirectory(demo.directory).read_environment()["DATABASE_OWNER_URL"]
    with psycopg.connect(where) as database:
        calls, *missing = database.execute(IMPOSSIBLE_CALLS).fetchone()
    assert calls > 300_000
    assert missing == [0, 0, 0, 0], "grant, key, route, price"


def test_the_accounts_are_private_and_complete(demo):
    assert stat.S_IMODE((demo.directory / "demo.json").stat().st_mode) == 0o600
    roles = {(each["role"], each["tenant"]) for each in demo.installation["accounts"]}
    assert roles == {
        ("developer", "aurora-bank"), ("owner", "aurora-bank"), ("finance", "aurora-bank"),
        ("developer", "helios-retail"), ("developer", "vita-clinic"),
        *((role, None) for role in (
            "operator", "security-reviewer", "compliance-reviewer", "cost-reviewer", "controller", "auditor",
        )),
    }  # fmt: skip
    for each in demo.installation["accounts"]:
        assert each["token"].startswith("qmp_")
        assert each["password"]


def test_it_listens_on_loopback_only(demo):
    listening = set()
    for pid in marked_processes(f"{demo.directory}#"):
        # It may have ended meanwhile.
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    listening.add(os.readlink(entry))
    addresses = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in listening:  # 0A: listening
                addresses.append(fields[1].partition(":")[0])
    assert len(addresses) >= 5, "console, gateway, engine, database and queue"
    assert set(addresses) == {"0100007F"}, "127.0.0.1"


def test_a_killed_demo_leaves_nothing_behind_and_comes_back_with_its_data(demo):
    today = date.today()
    window = {
        "tenant": "aurora-bank",
        "start": (today - timedelta(days=200)).isoformat(),
        "end": (today + timedelta(days=100)).isoformat(),
    }
    before = demo.api("finance", "costs/", **window)["total"]
    assert before["calls"] > 10_000
    accounts = demo.installation["accounts"]
    demo.end(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while left := list(marked_processes(f"{demo.directory}#")):
        assert time.monotonic() < deadline, [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
        time.sleep(0.1)
    demo.start()
    assert demo.api("finance", "costs/", **window)["total"] == before
    assert demo.installation["accounts"] == accounts, "nobody has to look up a new password"
    deadline = time.monotonic() + 60
    while demo.api("operator", "deployments/")["results"][0]["state"] != "healthy":
        assert time.monotonic() < deadline, demo.api("operator", "deployments/")
        time.sleep(0.2)

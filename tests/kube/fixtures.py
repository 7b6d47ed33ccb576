"""A real Kubernetes API server for tests that ask for it."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher.processes import is_alive, send_all
from tests.kube.control_plane import missing_programs

READY_WITHIN_SECONDS = 60


@pytest.fixture(scope="session")
def kube_config_path():
    """The kubeconfig of a cluster with two fake GPU nodes, shared by all workers and started on demand.

    Its user may do everything. Tests keep apart by using namespaces of their own.
    """
    if missing := missing_programs():
        pytest.skip(f"No Kubernetes to test with: {missing}; tests/kube/README.md says how to get it")
    run = Path(os.environ["QUARTERMASTER_TEST_DIRECTORY"]) / "kube"
    kubeconfig = run / "admin.kubeconfig"
    ready = run / "ready"
    # The first to come starts it, the others wait.
    with run.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            start_keeper(run, ready)
    return kubeconfig


def start_keeper(run: Path, ready: Path) -> None:
    """Start the process that runs the cluster until the test run, and not just this worker, is over."""
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The pid of the pytest that started it all.
    test_run = int(run.parent.name.split("-")[2])
    assert is_alive(test_run)
    with (run / "keeper.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.kube.control_plane", "--while-alive", str(test_run), str(run)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
    (run / "keeper.pid").write_text(str(keeper.pid))
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not ready.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            keeper.terminate()
            pytest.fail(f"Kubernetes did not start:\n{(run / 'keeper.log').read_text()}", pytrace=False)
        time.sleep(0.1)


def stop_keeper(test_directory: Path) -> None:
    """Stop the cluster of this run, if one was ever asked for, and wait until it is gone."""
    try:
        pid = int((test_directory / "kube" / "keeper.pid").read_text())
    except FileNotFoundError:
        return
    deadline = time.monotonic() + 60
    send_all({pid}, signal.SIGTERM)
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)

"""A demo without Django: the embedded servers, and a family of processes, of which one may be stubborn."""

import os
import secrets
import sys
from pathlib import Path

from launcher.demo import answers, start_servers
from launcher.local import LocalDirectory
from launcher.processes import MARKER, Command
from launcher.supervisor import Service, StopRequestedError, Supervisor, say

CHILD = "import os, signal, time; "
CHILD += "'STUBBORN' in os.environ and signal.signal(15, signal.SIG_IGN); time.sleep(600)"
FAMILY = f"""
import os, subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], start_new_session=True)
Path(sys.argv[1], "family").write_text(f"{{os.getpid()}} {{child.pid}}")
print("ERROR: the family had a quarrel", flush=True)
time.sleep(600)
"""


def worker_services(environment):
    """Real servers with worker processes of their own."""
    celery = ("-m", "celery", "-A", "tests.launcher.small_app", "worker", "--concurrency", "2")
    granian = ("-m", "granian", "--interface", "wsgi", "--port", os.environ["WORKERS"])
    url = f"http://127.0.0.1:{os.environ['WORKERS']}"
    return (
        Service("worker", Command((sys.executable, *celery), environment)),
        Service(
            "console",
            Command((sys.executable, *granian, "tests.launcher.small_app:application"), environment),
            answers(url, "/"),
        ),
    )


local = LocalDirectory(Path(sys.argv[1]))
local.create()
with local.locked():
    marker = f"{local.path}#{secrets.token_hex(8)}"
    with Supervisor(local.logs, marker) as supervisor:
        try:
            environment = {**os.environ, **start_servers(supervisor, local), MARKER: marker}
            family = Command((sys.executable, "-c", FAMILY, str(local.path)), environment)
            supervisor.start(Service("family", family, (local.path / "family").exists))
            if "WORKERS" in os.environ:
                supervisor.start(*worker_services(environment))
            say(f"up {environment['DATABASE_OWNER_URL']} {environment['CELERY_BROKER_URL']}")
            supervisor.watch()
        except StopRequestedError:
            say("stopping")

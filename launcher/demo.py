"""The demo: every part of Quartermaster on this machine, under one supervisor. `manage.py demo` runs it."""

import argparse
import ctypes
import json
import os
import secrets
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from launcher.errors import LauncherError
from launcher.local import CHECKOUT, LocalDirectory, local_directory
from launcher.logs import SERVER_ERRORS
from launcher.ports import LOOPBACK, free_port, is_free
from launcher.postgres import EmbeddedPostgres
from launcher.preparation import demo_steps, prepare
from launcher.processes import MARKER, Command, sweep
from launcher.roles import console_url
from launcher.supervisor import Service, StopRequestedError, Supervisor, say
from launcher.valkey import EmbeddedValkey

DATABASE = "quartermaster"
PR_SET_PDEATHSIG = 1
GATEWAY_OPTIONS = (
    "GATEWAY_REDIS_URL",
    "GATEWAY_REDIS_URL_FILE",
    "GATEWAY_LIMITS_FAIL_OPEN",
    "GATEWAY_LIMITS_LEASE_SECONDS",
    "GATEWAY_CREDENTIALS_DIR",
)
PYTHON = sys.executable
ENGINE = (PYTHON, "-m", "deployments.engine")
# As config/demo/provider.py routes it.
OUTSIDE_MODEL = "quartermaster-outside-1"


@dataclass(frozen=True)
class Ports:
    """The two ports that people use; the launcher chooses the others freely."""

    console: int
    gateway: int


def main(arguments: list[str]) -> int:
    """Run the demo until it is stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog="manage.py demo", description=__doc__)
    parser.add_argument(
        "--stop-with-parent",
        action="store_true",
        help="stop when the program that started this one has ended",
    )
    options = parser.parse_args(arguments)
    try:
        run(stop_with_parent=options.stop_with_parent)
    except LauncherError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    return 0


def run(*, stop_with_parent: bool = False) -> None:
    """Start everything, print how to reach it, and keep running. Raises LauncherError if the start fails."""
    began = time.monotonic()
    ports = read_ports()
    local = LocalDirectory(local_directory())
    local.create()
    with local.locked():
        # Remove processes of a demo that was just killed.
        sweep(f"{local.path}#", grace_seconds=8)
        refuse_taken_ports(ports)
        marker = f"{local.path}#{secrets.token_hex(8)}"
        with Supervisor(local.logs, marker) as supervisor:
            try:
                if stop_with_parent:
                    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
                environment = start_servers(supervisor, local) | application_environment(local, ports)
                local.write_environment(environment)
                everything = {**os.environ, **environment, MARKER: marker}
                prepare(supervisor, local, everything, demo_steps(local, everything))
                # Serving processes never get the owner's password.
                del everything["DATABASE_OWNER_URL"]
                local.accounts_file.chmod(0o600)
                *inner, gateway, beat = services(everything, ports)
                supervisor.start(*inner)
                # After the console, from which it gets its configuration.
                supervisor.start(gateway)
                # Last, because nobody waits for it and it starts slowly.
                supervisor.start(beat)
                say(summary(local, ports, time.monotonic() - began))
                supervisor.watch()
            except (StopRequestedError, KeyboardInterrupt):
                say("Stopping …")
    say("All processes have stopped. The data stays in " + str(local.path))


def read_ports() -> Ports:
    """Read CONSOLE_PORT and GATEWAY_PORT. Raises LauncherError naming an invalid one."""
    ports = Ports(_port("CONSOLE_PORT", 8000), _port("GATEWAY_PORT", 8080))
    if ports.console == ports.gateway:
        raise LauncherError(f"CONSOLE_PORT and GATEWAY_PORT are both {ports.console}; they must differ.")
    return ports


def refuse_taken_ports(ports: Ports) -> None:
    """Raise LauncherError if one of the ports is in use, saying how to choose another."""
    for part, variable, port in (
        ("console", "CONSOLE_PORT", ports.console),
        ("gateway", "GATEWAY_PORT", ports.gateway),
    ):
        if not is_free(port):
            raise LauncherError(
                f"Port {port}, for the {part}, is in use by another program. Stop that program, or choose "
                f"another port: make demo {variable}={free_port()}"
            )


def start_servers(supervisor: Supervisor, local: LocalDirectory) -> dict[str, str]:
    """Start the embedded database and queue unless others are configured; return their URLs."""
    marked = {MARKER: supervisor.marker}
    remembered = local.remembered()
    database, queue = os.environ.get("DATABASE_URL"), os.environ.get("CELERY_BROKER_URL")
    if not database:
        port = free_port(_remembered_port(remembered, "postgres_port"))
        postgres = EmbeddedPostgres(
            local.path / "postgres", port=port, password=remembered["postgres_password"]
        )
        postgres.prepare()
        supervisor.start(
            Service(
                "postgres",
                postgres.command(marked),
                postgres.is_ready,
                stop_seconds=20,
                alarming=SERVER_ERRORS,
            )
        )
        postgres.create_database(DATABASE)
        remembered["postgres_port"] = str(port)
        owner, database = postgres.url(DATABASE), None
    else:
        owner = os.environ.get("DATABASE_OWNER_URL") or database
    if database in (None, owner):
        login = f"{urlsplit(owner).path.lstrip('/')}_serving"
        database = console_url(owner, login=login, password=remembered["console_password"])
    if not queue:
        port = free_port(_remembered_port(remembered, "valkey_port"))
        valkey = EmbeddedValkey(local.path / "queue", port=port, password=remembered["valkey_password"])
        valkey.prepare()
        supervisor.start(Service("queue", valkey.command(marked), valkey.is_ready))
        remembered["valkey_port"] = str(port)
        queue = valkey.url()
    local.remember(remembered)
    return {"DATABASE_URL": database, "DATABASE_OWNER_URL": owner, "CELERY_BROKER_URL": queue}


def application_environment(local: LocalDirectory, ports: Ports) -> dict[str, str]:
    """Return the configuration of Quartermaster's own processes, except database and queue."""
    remembered = local.remembered()
    port = free_port(_remembered_port(remembered, "provider_port"))
    remembered["provider_port"] = str(port)
    local.remember(remembered)
    console = f"http://{LOOPBACK}:{ports.console}"
    given = {name: os.environ[name] for name in GATEWAY_OPTIONS if os.environ.get(name)}
    return given | {
        "DJANGO_SETTINGS_MODULE": "config.settings.base",
        "DEMO": "1",
        "SECRET_KEY": os.environ.get("SECRET_KEY") or remembered["secret_key"],
        "LOCAL_DIR": str(local.path),
        "STATIC_ROOT": str(local.path / "static"),
        "EXPORT_DIR": str(local.path / "exports"),
        "ENGINE_STATE_DIR": str(local.path / "engines"),
        "CONSOLE_URL": console,
        "CONSOLE_PORT": str(ports.console),
        "GATEWAY_URL": f"http://{LOOPBACK}:{ports.gateway}/v1",
        "GATEWAY_ID": "local",
        "GATEWAY_TOKEN": remembered["gateway_token"],
        "GATEWAY_CONTROL_URL": console,
        # Written when the demo's data are loaded.
        "GATEWAY_CONFIG_KEYS_FILE": str(local.path / "gateway" / "config-keys"),
        "GATEWAY_STATE_DIR": str(local.path / "gateway"),
        "GATEWAY_HOST": LOOPBACK,
        "GATEWAY_PORT": str(ports.gateway),
        "DEMO_PROVIDER_URL": f"http://{LOOPBACK}:{port}/v1",
        "DEMO_PROVIDER_KEY": remembered["provider_key"],
    }


def services(environment: Mapping[str, str], ports: Ports) -> list[Service]:
    """List Quartermaster's processes in the order they start; they stop in reverse order.

    So the gateway ends before the console and can still report its usage to it.
    """

    def python(*arguments: str) -> Command:
        return Command((PYTHON, "-m", *arguments), environment, directory=CHECKOUT)

    console = python(
        *("granian", "--interface", "wsgi", "--host", LOOPBACK, "--port", str(ports.console)),
        *("--workers", "1", "--blocking-threads", "8", "--no-ws", "--workers-kill-timeout", "5"),
        "config.wsgi:application",
    )
    worker = python(
        *("celery", "-A", "config", "worker", "--loglevel", "INFO", "--concurrency", "2"),
        *("--hostname", "demo@%h", "--without-gossip", "--without-mingle"),
    )
    engine_host = python("deployments.engine_host", "--state-dir", environment["ENGINE_STATE_DIR"])
    return [
        Service("console", console, answers(f"http://{LOOPBACK}:{ports.console}", "/healthz", "/readyz")),
        Service("engine-host", engine_host),
        *_provider(environment),
        Service("worker", worker, stop_seconds=15),
        Service(
            "gateway",
            python("gateway.proxy"),
            answers(f"http://{LOOPBACK}:{ports.gateway}", "/healthz", "/readyz"),
        ),
        Service("beat", python("celery", "-A", "config", "beat", "--loglevel", "INFO")),
    ]


def _provider(environment: Mapping[str, str]) -> list[Service]:
    """What stands in for a provider: another program, elsewhere, that wants a credential. None without its address."""
    if "DEMO_PROVIDER_URL" not in environment:
        return []
    at = urlsplit(environment["DEMO_PROVIDER_URL"])
    engine = Command(
        (*ENGINE, "--port", str(at.port), "--model", OUTSIDE_MODEL, "--any-model"),
        {**environment, "ENGINE_API_KEY": environment["DEMO_PROVIDER_KEY"]},
        directory=CHECKOUT,
    )
    return [Service("provider", engine, answers(f"http://{at.netloc}", "/health"))]


def answers(base: str, *paths: str) -> Callable[[], bool]:
    """Return a function that checks whether all these paths answer 200."""

    def ask() -> bool:
        for path in paths:
            try:
                with urllib.request.urlopen(base + path, timeout=2) as answer:  # noqa: S310
                    if answer.status != 200:
                        return False
            except (OSError, urllib.error.URLError):
                return False
        return True

    return ask


def summary(local: LocalDirectory, ports: Ports, seconds: float) -> str:
    """Describe where everything is and who may sign in."""
    console = f"http://{LOOPBACK}:{ports.console}"
    lines = [
        "",
        f"Quartermaster is up after {seconds:.1f} s.",
        "",
        f"  Portal   {console}/",
        f"  Admin    {console}/admin/",
        f"  API      {console}/api/v1/docs/",
        f"  Gateway  http://{LOOPBACK}:{ports.gateway}/v1",
        f"  Logs     {local.logs}",
        "",
        *accounts_table(local),
        "",
        "Take the tour with: .venv/bin/python manage.py tour     Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


def accounts_table(local: LocalDirectory) -> list[str]:
    """Return the accounts of the demo as aligned lines."""
    try:
        accounts = json.loads(local.accounts_file.read_text())["accounts"]
    except (OSError, ValueError, KeyError):
        return [f"  No accounts in {local.accounts_file}."]
    rows = [("Role", "Tenant", "E-mail", "Password")]
    rows += [
        (account["role"], account.get("tenant") or "–", account["email"], account["password"])
        for account in accounts
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise LauncherError(f"{variable} must be a port number between 1 and 65535, not '{text}'.")
    return int(text)


def _remembered_port(remembered: Mapping[str, str], name: str) -> int | None:
    text = remembered.get(name)
    return int(text) if text else None

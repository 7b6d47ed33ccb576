"""Prepare a demo before its services start: tables, static files, demo data. Steps repeat only if necessary."""

import ast
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from launcher.errors import LauncherError
from launcher.local import CHECKOUT, LocalDirectory, write_private
from launcher.processes import Command
from launcher.supervisor import Supervisor

APPS = tuple(sorted(path.parent.name for path in CHECKOUT.glob("*/apps.py")))
# It determines the migrations and static files of other packages.
LOCK_FILE = CHECKOUT / "requirements.lock"


@dataclass(frozen=True)
class Step:
    """A management command, and the inputs of its result."""

    title: str
    arguments: tuple[str, ...]
    # Called before the step, to compare with the state after its last run, and again afterwards.
    state: Callable[[], str]
    shows_progress: bool = False


def prepare(
    supervisor: Supervisor, local: LocalDirectory, environment: Mapping[str, str], steps: Iterable[Step]
) -> None:
    """Run the steps that have something to do. Safe to repeat. Raises LauncherError when one fails.

    Args:
        supervisor: runs the processes that a step needs.
        local: the folder of the demo.
        environment: environment of the steps.
        steps: the steps, in order.
    """
    done = _read(local.prepared_file)
    for step in steps:
        name = step.arguments[0]
        if done.get(name) == step.state():
            continue
        supervisor.say(f"{step.title} …")
        began = time.monotonic()
        command = Command((sys.executable, "manage.py", *step.arguments), environment, directory=CHECKOUT)
        supervisor.run_once(name, command, tell=_indented(supervisor) if step.shows_progress else None)
        supervisor.say(f"{step.title}: done in {time.monotonic() - began:.1f} s")
        done[name] = step.state()
        write_private(local.prepared_file, json.dumps(done, indent=1))


def demo_steps(local: LocalDirectory, environment: Mapping[str, str]) -> tuple[Step, ...]:
    """List the steps that a demo needs before its services can start."""
    migrations = [path for app in APPS for path in (CHECKOUT / app).glob("migrations/*.py")]
    static = [path for path in (CHECKOUT / "static").rglob("*") if path.is_file()]
    url = environment["DATABASE_URL"]

    def schema() -> str:
        ours = {f"{path.parts[-3]}.{path.stem}": meaning_of(path) for path in migrations}
        refuse_other_migrations(url, local.path, ours, before=_read(local.prepared_file).get("migrate"))
        others = f"{fingerprint([LOCK_FILE])} {applied_migrations(url)}"
        return json.dumps({"ours": ours, "others": others})

    def static_files() -> str:
        present = any(Path(environment["STATIC_ROOT"]).iterdir())
        return f"{fingerprint([LOCK_FILE, *static])} {present}"

    def demo_data() -> str:
        return f"{fingerprint(_demo_sources())} {local.accounts_file.exists()} {applied_migrations(url)}"

    return (
        Step("Creating the tables", ("migrate", "--no-input"), schema),
        Step("Collecting static files", ("collectstatic", "--no-input"), static_files),
        Step("Loading the demo data", ("load_demo",), demo_data, shows_progress=True),
    )


def refuse_other_migrations(
    url: str, directory: Path, ours: Mapping[str, str], *, before: str | None
) -> None:
    """Raise LauncherError if another version made the tables in `directory`, whose database is at `url`.

    It was another version if the database has a migration of our apps that does not exist here or was edited since.
    `ours` has the current digest of each by name; `before`, the state after the last `migrate`, has those from then.
    """
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute("SELECT to_regclass('django_migrations')").fetchone()
        if row is None or row[0] is None:
            return
        applied = connection.execute(
            "SELECT app, name FROM django_migrations WHERE app = ANY(%s) ORDER BY id", [list(APPS)]
        ).fetchall()
    try:
        meant = json.loads(before or "{}").get("ours", {})
    except ValueError:
        # The state comes from a version that did not record digests.
        meant = {}
    for name in (f"{app}.{name}" for app, name in applied):
        is_edited = before is not None and (not meant or meant.get(name, ours.get(name)) != ours.get(name))
        if name not in ours or is_edited:
            raise LauncherError(
                f"The demo data in {directory} belongs to another version of Quartermaster, whose tables "
                f"differ ({name}). Remove it with `make clean`, then start again."
            )


def meaning_of(migration: Path) -> str:
    """Digest the effect of a migration; changes of comments or formatting do not change the digest."""
    return hashlib.sha256(ast.dump(ast.parse(migration.read_text())).encode()).hexdigest()


def applied_migrations(url: str) -> str:
    """Return a summary of the migrations applied to this database; it differs for a new database."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute("SELECT to_regclass('django_migrations')").fetchone()
        if row is None or row[0] is None:
            return "none"
        return str(connection.execute("SELECT count(*), max(applied) FROM django_migrations").fetchone())


def fingerprint(paths: Iterable[Path]) -> str:
    """Digest the names, sizes and times of files: cheap, and different after every edit."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        if path.exists():
            facts = path.stat()
            digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _demo_sources() -> list[Path]:
    """The command that loads the demo, the data files, and all other files named after the demo."""
    files = (path for app in APPS for path in (CHECKOUT / app).rglob("*") if path.is_file())
    return [
        path
        for path in files
        if ("data" in path.parent.parts or "demo" in str(path.relative_to(CHECKOUT)))
        and "__pycache__" not in path.parts
    ]


def _indented(supervisor: Supervisor) -> Callable[[str], None]:
    return lambda line: supervisor.say(f"    {line}")


def _read(path: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found

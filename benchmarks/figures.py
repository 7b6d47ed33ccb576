"""The table that benchmarks of the large tenant print: rows measure processor time, figures any other number."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEFORE = Path(__file__).with_name("scale_before.json")


def _nothing() -> None:
    pass


@dataclass
class Row:
    """One measured piece of work: calling `work` does it and returns the answer's bytes, or their number."""

    # The part of the table that the row belongs to.
    item: str
    name: str
    work: Callable[[], bytes | int]
    bar: float | None = None  # milliseconds of processor time
    # Runs before each round, and is not measured.
    prepare: Callable[[], object] = _nothing


@dataclass
class Figure:
    """A number with a unit. It should be at most `bar`, or at least `bar` if `more_is_better`."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    more_is_better: bool = False

    @property
    def is_beyond(self) -> bool:
        return self.bar is not None and (
            self.value < self.bar if self.more_is_better else self.value > self.bar
        )


@dataclass
class Figures:
    """Several figures that are measured together; `measure` yields each as soon as it is known."""

    item: str
    name: str
    measure: Callable[[], Iterable[Figure]]


@dataclass
class Found:
    console: float
    server: float
    queries: int
    answer_bytes: int

    @property
    def work(self) -> float:
        return self.console + self.server


class Table:
    """Prints and keeps each line as it is measured, beside the number from before the optimization."""

    def __init__(self, *, with_before: bool, only: Collection[str] = (), match: str = "", rounds: int = 5):
        self._before: dict[str, Any] = json.loads(BEFORE.read_text()) if with_before else {}
        self._only, self._match, self._rounds = only, match, rounds
        # Whether the table shows a number that was reported and not measured here.
        self._is_reported = False
        self.measured: dict[str, Any] = {}

    def print(self, rows: Iterable[Row | Figures]) -> None:
        """Measure and print the selected rows. A row that fails prints its error, and the table continues."""
        print(
            f"{'':4}{'':62}{'before':>10}{'work':>10}{'console':>9}{'server':>9}{'queries':>9}{'kB':>9}   milliseconds"
        )
        for row in rows:
            if (self._only and row.item not in self._only) or self._match not in row.name:
                continue
            try:
                if isinstance(row, Row):
                    self._print_row(row)
                else:
                    for figure in row.measure():
                        self._print_figure(row.item, figure)
            except Exception as error:
                was = self._was(row.item, row.name)
                line = f"{row.item:4}{row.name:62}{was:>10}  {type(error).__name__}: {error}"
                print(line[:190], flush=True)
        if self._is_reported:
            print("* as reported when the work began, on another day; the others were measured here")

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(self.measured, indent=1) + "\n")

    def _print_row(self, row: Row) -> None:
        found = measure(row, self._rounds)
        self.measured[f"{row.item} {row.name}"] = {"work": round(found.work, 1), "queries": found.queries}
        is_over = row.bar is not None and found.work > row.bar
        print(
            f"{row.item:4}{row.name:62}{self._was(row.item, row.name):>10}{found.work:>10.1f}{found.console:>9.1f}"
            f"{found.server:>9.1f}{found.queries:>9}{found.answer_bytes / 1000:>9.1f}"
            f"{f'  over {row.bar:.0f}' if is_over else ''}",
            flush=True,
        )

    def _print_figure(self, item: str, figure: Figure) -> None:
        self.measured[f"{item} {figure.name}"] = {"value": round(figure.value, 3), "unit": figure.unit}
        beyond = (
            f"  {'under' if figure.more_is_better else 'over'} {figure.bar:g}" if figure.is_beyond else ""
        )
        was = self._was(item, figure.name)
        print(
            f"{item:4}{figure.name:62}{was:>10}{_number(figure.value):>10} {figure.unit}{beyond}", flush=True
        )

    def _was(self, item: str, name: str) -> str:
        found = self._before.get(f"{item} {name}")
        if found is None:
            return ""
        value = found.get("work", found.get("value"))
        self._is_reported |= bool(found.get("is_reported"))
        shown = value if isinstance(value, str) else _number(value)
        return shown + "*" * bool(found.get("is_reported"))


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def measure(row: Row, rounds: int) -> Found:
    """Run the row once to warm up and then `rounds` times, and return the median round."""
    from django.db import connection

    from benchmarks.ingest import Measured

    found = []
    for _ in range(rounds + 1):
        asked = 0

        def count(execute: Any, *arguments: Any) -> Any:
            nonlocal asked
            asked += 1
            return execute(*arguments)

        row.prepare()
        with connection.execute_wrapper(count):
            before = Measured.now()
            answer = row.work()
            took = Measured.now().since(before)
        size = answer if isinstance(answer, int) else len(answer)
        found.append(Found(took.client * 1000, took.server * 1000, asked, size))
        # A row this slow is measured once.
        if took.wall > 10:
            return found[-1]
    return sorted(found[1:], key=lambda one: one.work)[len(found[1:]) // 2]

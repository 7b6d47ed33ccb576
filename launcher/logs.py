"""Output of child processes: each has a log file; errors also go to the terminal."""

import logging
import re
import threading
from collections import deque
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO

ERRORS = re.compile(r"\b(ERROR|CRITICAL|FATAL|PANIC)\b|\"level\": ?\"(error|critical)\"")
# A database routinely logs ERROR for each rejected statement, and FATAL for clients that connect too early.
SERVER_ERRORS = re.compile(r"\bPANIC\b|\bFATAL: (?! the database system is )")
TRACEBACK = "Traceback (most recent call last):"
KEPT_LINES = 15
LONGEST_LINE = 400
BYTES_PER_FILE = 10_000_000


class ChildLog:
    """Copies the output of one child, across restarts, line by line with its name in front."""

    def __init__(
        self, name: str, directory: Path, alarming: re.Pattern[str], say: Callable[[str], None]
    ) -> None:
        self.name = name
        self.path = directory / f"{name}.log"
        self.last_lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._alarming = alarming
        self._say = say
        self._in_traceback = False
        self._reader: threading.Thread | None = None
        self._handler = RotatingFileHandler(
            self.path, maxBytes=BYTES_PER_FILE, backupCount=1, encoding="utf-8"
        )
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))

    def follow(self, output: IO[bytes]) -> None:
        """Read a child's output to its end, in a separate thread."""
        self._reader = threading.Thread(
            target=self._copy, args=[output], name=f"log-{self.name}", daemon=True
        )
        self._reader.start()

    def finish(self, *, timeout_seconds: float) -> None:
        """Wait for the last output of a child that has ended."""
        if self._reader is not None:
            self._reader.join(timeout_seconds)

    def _copy(self, output: IO[bytes]) -> None:
        with output:
            for raw in output:
                self.write(raw.decode(errors="replace").rstrip())

    def write(self, line: str) -> None:
        """Store one line; show it if it is an error or part of a traceback."""
        self.last_lines.append(line)
        self._handler.emit(logging.LogRecord(self.name, logging.INFO, "", 0, "%s", (line,), None))
        if self._in_traceback or TRACEBACK in line or self._alarming.search(line):
            self._say(f"{self.name}: {line[:LONGEST_LINE]}")
        # A traceback ends with the first line that is not indented: the exception itself.
        self._in_traceback = TRACEBACK in line or (self._in_traceback and line.startswith((" ", "\t")))

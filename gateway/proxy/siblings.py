"""What the workers of one gateway know of each other: each writes a report, and any of them speaks for all.

The control plane knows one gateway, and Prometheus reaches whichever worker accepts its connection. So an
acknowledgement has the lowest revision of all workers and the sums of their counters, and `/metrics` has the metrics
of all workers, each with the label `worker`. Reports are a few seconds old; one that is not renewed no longer counts.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from gateway.contract import Ack, ContractError, decode, encode

# Three times as long as workers take to renew them.
_FRESH_SECONDS = 15.0
_FOLDER = Path("workers") / "reports"
_ACK, _METRICS = ".ack", ".metrics"


class Siblings:
    """The reports of one worker's siblings. `state_dir` is that of the gateway."""

    def __init__(self, state_dir: Path, worker: int, metrics: Callable[[], bytes]) -> None:
        self._folder = state_dir / _FOLDER
        self._worker = worker
        self._metrics = metrics

    def report(self, own: Ack) -> None:
        """Write this worker's report: at once when a revision is in force, so that nobody acknowledges a later one."""
        self._write(_ACK, encode(own))

    def acknowledge(self, own: Ack) -> Ack:
        """Write this worker's report, and return that of all of them. A worker without a configuration has none."""
        self.report(own)
        self._write(_METRICS, self._metrics())
        acks = [own]
        for _, content in self._reports(_ACK):
            with contextlib.suppress(ContractError):
                acks.append(decode(Ack, content))
        counters: dict[str, int] = {}
        for ack in acks:
            for name, number in ack.counters.items():
                counters[name] = counters.get(name, 0) + number
        return msgspec.structs.replace(
            own,
            revision=min(ack.revision for ack in acks),
            # Counters are since all of them run.
            started_at=max(ack.started_at for ack in acks),
            spool_pending=sum(ack.spool_pending for ack in acks),
            counters=counters,
            problem=" ".join(dict.fromkeys(ack.problem for ack in acks if ack.problem)),
            refused=next((ack.refused for ack in acks if ack.refused), None),
        )

    def exposition(self) -> bytes:
        """The metrics of all workers: this one's of now, those of the others as last reported."""
        texts = [(str(self._worker), self._metrics()), *self._reports(_METRICS)]
        families: dict[str, tuple[list[str], list[str]]] = {}
        for worker, text in texts:
            heads: list[str] = []
            samples: list[str] = []
            is_first = False
            for line in text.decode().splitlines():
                if line.startswith("# HELP "):
                    heads, samples = families.setdefault(line.split(" ", 3)[2], ([], []))
                    is_first = not heads
                if line.startswith("#"):
                    if is_first:
                        heads.append(line)
                elif line:
                    samples.append(_labelled(line, worker))
        return "".join(
            f"{line}\n" for heads, samples in families.values() for line in (*heads, *samples)
        ).encode()

    def _write(self, suffix: str, content: bytes) -> None:
        """Replace a report. On a full disk it grows old, and no longer counts."""
        path = self._folder / f"{self._worker}{suffix}"
        draft = path.with_name(f"{path.name}.new")
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                draft.write_bytes(content)
                draft.replace(path)
            except OSError:
                draft.unlink(missing_ok=True)

    def _reports(self, suffix: str) -> Iterator[tuple[str, bytes]]:
        """The fresh reports of the others, with their numbers."""
        for path in sorted(self._folder.glob(f"*{suffix}")):
            with contextlib.suppress(OSError):
                is_fresh = time.time() - path.stat().st_mtime < _FRESH_SECONDS
                if is_fresh and path.stem != str(self._worker):
                    yield path.stem, path.read_bytes()


def forget_reports(state_dir: Path, worker: int | None = None) -> None:
    """Delete the reports of a worker that has ended, or of all."""
    for path in (state_dir / _FOLDER).glob(f"{'*' if worker is None else worker}.*"):
        with contextlib.suppress(OSError):
            os.unlink(path)


def _labelled(line: str, worker: str) -> str:
    name, has_labels, rest = line.partition("{")
    if has_labels:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = line.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'

"""One replica: an engine process that is started, watched, restarted with back-off, drained and stopped."""

import asyncio
import enum
import signal
from dataclasses import dataclass, field
from pathlib import Path

from deployments.cluster.base import Condition, ConditionType
from deployments.engine_host.devices import Devices, Held, visible_devices
from deployments.engine_host.engine import EngineProcess, free_port, is_healthy
from deployments.engine_host.plan import EnginePlan
from deployments.engine_host.state import Document

READINESS_FAILURES = 2


@dataclass(frozen=True)
class HostSettings:
    """The host's times and sizes."""

    tick_seconds: float = 0.1
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 60.0
    forgive_after_seconds: float = 60.0
    """An engine that was healthy for so long starts its back-off anew."""
    drain_seconds: float = 5.0
    """How long a replica goes on serving after it is no longer listed, so that gateways stop calling it
    first."""
    shutdown_seconds: float = 10.0
    """How long engines may take when the whole host stops."""
    log_bytes: int = 5_000_000
    resources: dict[str, int] = field(default_factory=dict)


class Phase(enum.StrEnum):
    # For the next start after a failure, or for devices.
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    UNREADY = "unready"
    DRAINING = "draining"
    STOPPING = "stopping"
    GONE = "gone"


class Replica:
    """The loop calls `step` with the time; a separate probe task reports health."""

    def __init__(
        self,
        slot: int,
        plan: EnginePlan,
        *,
        port: int | None,
        log: Path,
        home: Path,
        devices: Devices,
        settings: HostSettings,
    ) -> None:
        self.slot, self.plan, self.log, self.home = slot, plan, log, home
        self.devices, self.settings = devices, settings
        self.phase = Phase.WAITING
        self.problem: Condition | None = None
        self.restarts = 0
        self.last_exit = ""
        self._process: EngineProcess | None = None
        self._probe: asyncio.Task[None] | None = None
        self._held: Held = {}
        # Used again while it is free.
        self._port = port
        self._failures = 0  # in a row
        self._unhealthy = 0  # probes in a row
        self._next_start = 0.0
        # Of all phases but waiting and ready.
        self._phase_ends = 0.0
        self._ready_since = 0.0
        # Why the host killed it.
        self._verdict = ""

    @property
    def is_retiring(self) -> bool:
        return self.phase in (Phase.DRAINING, Phase.STOPPING, Phase.GONE)

    def step(self, now: float) -> None:
        """Notice an exit, start what is due, and end what is out of time."""
        if self._process is not None and (reason := self._process.exit_reason()) is not None:
            self._ended(self._verdict or reason, now)
        if self.phase == Phase.WAITING and now >= self._next_start:
            self._start(now)
        elif self.phase == Phase.STARTING and now >= self._phase_ends:
            self._kill(
                f"gave no healthy answer within {self.plan.startup_timeout_seconds:.0f} s of its start"
            )
        elif self.phase == Phase.UNREADY and now >= self._phase_ends:
            self._kill("stopped answering its health path")
        elif self.phase == Phase.DRAINING and now >= self._phase_ends:
            self.stop(now)
        elif self.phase == Phase.STOPPING and now >= self._phase_ends:
            self._kill("did not stop in time")

    def retire(self, now: float) -> None:
        """End this replica for good. A serving replica continues for `drain_seconds` after it has left the list."""
        if self.phase == Phase.READY and self.settings.drain_seconds:
            self._stop_probing()
            self.phase, self._phase_ends = Phase.DRAINING, now + self.settings.drain_seconds
        elif not self.is_retiring:
            self.stop(now)

    def stop(self, now: float, within_seconds: float | None = None) -> None:
        """Ask the engine to end now; it is killed if it takes longer than allowed."""
        self._stop_probing()
        if self._process is None:
            self.phase = Phase.GONE
            return
        patience = (
            self.plan.stop_seconds if within_seconds is None else min(within_seconds, self.plan.stop_seconds)
        )
        self.phase, self._phase_ends = Phase.STOPPING, now + patience
        self._process.signal(signal.SIGTERM)

    def report(self, template: str) -> Document:
        """What the driver may know of this replica; `template` is the current one."""
        return {
            "slot": self.slot,
            "pid": self._process.pid if self._process else None,
            "port": self._process.port if self._process else None,
            "phase": self.phase,
            "ready": self.phase == Phase.READY,
            "current": self.plan.template == template,
            "restarts": self.restarts,
            "last_exit": self.last_exit,
        }

    def _start(self, now: float) -> None:
        held = self.devices.take(self.plan.extended_resources)
        if held is None:
            reason = self.devices.why_not(self.plan.extended_resources)
            self.problem = Condition(
                ConditionType.UNSCHEDULABLE, "True", "InsufficientResources", f"{reason}."
            )
            return
        try:
            self._port = free_port(self._port)
            self._process = EngineProcess(
                self.plan, port=self._port, log=self.log, home=self.home, extra=visible_devices(held)
            )
        except OSError as error:
            self.devices.give_back(held)
            pause = self._back_off(now)
            self.problem = Condition(
                ConditionType.CANNOT_START,
                "True",
                "ProgramCannotStart",
                f"Replica {self.slot} cannot be started: {self.plan.command[0]!r}: {error.strerror}. "
                f"Install the program or correct the runtime's command. Next try in {pause:g} s.",
            )
            return
        self._held, self._verdict, self._unhealthy = held, "", 0
        if self.problem and self.problem.type != ConditionType.CRASHING:
            self.problem = None
        self.phase, self._phase_ends = Phase.STARTING, now + self.plan.startup_timeout_seconds
        self._probe = asyncio.get_running_loop().create_task(self._watch(self._process))

    def _ended(self, reason: str, now: float) -> None:
        assert self._process is not None
        last_words = self._process.last_words()
        self._stop_probing()
        self._process = None
        self.devices.give_back(self._held)
        self._held = {}
        if self.is_retiring:
            self.phase = Phase.GONE
            return
        if self.phase in (Phase.READY, Phase.UNREADY) and (
            now - self._ready_since >= self.settings.forgive_after_seconds
        ):
            self._failures = 0
        self.phase, self.last_exit = Phase.WAITING, reason
        self.restarts += 1
        pause = self._back_off(now)
        quoted = f' Its last line: "{last_words}".' if last_words else ""
        self.problem = Condition(
            ConditionType.CRASHING,
            "True",
            "EngineEnded",
            f"Replica {self.slot} {reason}; {self.restarts} time(s) so far.{quoted} "
            f"Read its log, {self.log}. It is started again after a pause of {pause:g} s.",
        )

    def _back_off(self, now: float) -> float:
        """Delay the next start, by twice as long as last time. Returns the pause in seconds."""
        pause = min(
            self.settings.first_pause_seconds * 2.0 ** min(self._failures, 30),
            self.settings.longest_pause_seconds,
        )
        self._failures += 1
        self._next_start = now + pause
        return pause

    async def _watch(self, process: EngineProcess) -> None:
        while True:
            period = self.plan.health_period_seconds
            healthy = await is_healthy(process.port, self.plan.health_path, max(period, 1.0))
            self._judge(healthy)
            await asyncio.sleep(
                period if self.phase == Phase.READY else min(period, self.settings.tick_seconds)
            )

    def _judge(self, healthy: bool) -> None:
        if healthy:
            self._unhealthy, self.problem = 0, None
            if self.phase != Phase.READY:
                self.phase, self._ready_since = Phase.READY, asyncio.get_running_loop().time()
        elif self.phase != Phase.STARTING:
            self._unhealthy += 1
            if self.phase == Phase.READY and self._unhealthy >= READINESS_FAILURES:
                self.phase = Phase.UNREADY
                self._phase_ends = asyncio.get_running_loop().time() + (
                    self.plan.health_period_seconds * (self.plan.liveness_failures - READINESS_FAILURES)
                )

    def _kill(self, verdict: str) -> None:
        self._verdict = verdict
        if self._process is not None:
            self._process.signal(signal.SIGKILL)

    def _stop_probing(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None

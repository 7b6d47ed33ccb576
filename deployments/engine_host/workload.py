"""One deployment on this machine: as many replicas as desired, replaced one by one when their template changes."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from deployments.engine_host.devices import Devices
from deployments.engine_host.engine import bound_log
from deployments.engine_host.plan import EnginePlan
from deployments.engine_host.replica import HostSettings, Phase, Replica
from deployments.engine_host.state import Document


class Workload:
    """Level-triggered: each `step` compares the desired replicas with the running ones, and changes the latter."""

    def __init__(
        self,
        *,
        logs: Path,
        home: Path,
        devices: Devices,
        settings: HostSettings,
        former_ports: Sequence[int] = (),
    ) -> None:
        self._logs, self._home, self._devices, self._settings = logs, home, devices, settings
        self._former_ports = list(former_ports)
        self._plan: EnginePlan | None = None
        self._uid, self._generation = "", 0
        self.replicas: list[Replica] = []

    def want(self, plan: EnginePlan, *, uid: str, generation: int) -> None:
        """From now on, run `plan`."""
        self._plan, self._uid, self._generation = plan, uid, generation

    def want_nothing(self) -> None:
        """From now on, remove all replicas; `is_gone` when done."""
        self._plan = None

    @property
    def is_gone(self) -> bool:
        return self._plan is None and not self.replicas

    def step(self, now: float) -> None:
        if self._plan is None:
            for replica in self.replicas:
                replica.retire(now)
        for replica in self.replicas:
            replica.step(now)
        self.replicas = [replica for replica in self.replicas if replica.phase != Phase.GONE]
        if self._plan is not None:
            self._converge(self._plan, now)

    def stop(self, now: float) -> None:
        """Stop all replicas at once, without draining: the machine's console is going down."""
        self.want_nothing()
        for replica in self.replicas:
            if replica.phase != Phase.STOPPING:
                replica.stop(now, within_seconds=self._settings.shutdown_seconds)

    def bound_logs(self) -> None:
        for replica in self.replicas:
            bound_log(replica.log, self._settings.log_bytes)

    def report(self) -> Document:
        """The observed document (see `state.py`)."""
        template = self._plan.template if self._plan else ""
        living = [replica for replica in self.replicas if not replica.is_retiring]
        problems = {replica.problem.type: replica.problem for replica in reversed(living) if replica.problem}
        return {
            "uid": self._uid,
            "generation": self._generation,
            "replicas": [replica.report(template) for replica in self.replicas],
            "problems": [asdict(problem) for problem in problems.values()],
        }

    def _converge(self, plan: EnginePlan, now: float) -> None:
        living = [replica for replica in self.replicas if not replica.is_retiring]
        current = [replica for replica in living if replica.plan.template == plan.template]
        outdated = [replica for replica in living if replica.plan.template != plan.template]

        while len(current) < plan.replicas and len(current) + len(outdated) < plan.replicas + plan.max_surge:
            current.append(self._add(plan))

        ready = sum(replica.phase == Phase.READY for replica in living)
        least = plan.replicas - plan.max_unavailable
        for replica in sorted(outdated, key=_serves):
            if not _serves(replica):
                replica.retire(now)  # it helps nobody
            elif ready > least:
                replica.retire(now)
                ready -= 1

        surplus = len(current) - plan.replicas
        for replica in sorted(current, key=lambda replica: (_serves(replica), -replica.slot))[
            : max(surplus, 0)
        ]:
            replica.retire(now)

    def _add(self, plan: EnginePlan) -> Replica:
        taken = {replica.slot for replica in self.replicas}
        slot = next(number for number in range(len(taken) + 1) if number not in taken)
        replica = Replica(
            slot,
            plan,
            port=self._former_ports.pop(0) if self._former_ports else None,
            log=self._logs / f"{slot}.log",
            home=self._home,
            devices=self._devices,
            settings=self._settings,
        )
        self.replicas.append(replica)
        return replica


def _serves(replica: Replica) -> bool:
    return replica.phase == Phase.READY

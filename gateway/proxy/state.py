"""The state that all calls of this process share."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from gateway.contract import CONTRACT_VERSION, CONTRACT_VERSIONS, Ack
from gateway.contract.usage import RefusedRevision
from gateway.proxy.connections import Connections
from gateway.proxy.errors import Refusal, unavailable, usage_not_recorded
from gateway.proxy.first_tokens import FirstTokens
from gateway.proxy.ids import rfc3339
from gateway.proxy.index import Index
from gateway.proxy.intake import BodyBudget
from gateway.proxy.limits import Limiter, LimitReached
from gateway.proxy.metrics import Metrics
from gateway.proxy.redis_address import place_name
from gateway.proxy.refusals import Refusals
from gateway.proxy.refused_calls import RefusedCalls
from gateway.proxy.request import Request
from gateway.proxy.routing import Router
from gateway.proxy.settings import Settings
from gateway.proxy.siblings import Siblings
from gateway.proxy.spool import Spool
from gateway.proxy.vault import Vault
from gateway.proxy.version import code_version

_log = structlog.get_logger()


@dataclass
class State:
    """One gateway. `index` is None until the first configuration is in force."""

    settings: Settings
    upstream: Connections
    spool: Spool
    limiter: Limiter
    metrics: Metrics
    router: Router
    started_at: float
    bodies: BodyBudget
    answers: BodyBudget
    vault: Vault
    refused: RefusedCalls = field(default_factory=RefusedCalls)
    refusals: Refusals = field(default_factory=Refusals)
    readers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "body-reader"))
    first_tokens: FirstTokens = field(default_factory=FirstTokens)
    index: Index | None = None
    is_draining: bool = False
    active: int = 0
    # Each ends one call in progress.
    serving: set[Callable[[], None]] = field(default_factory=set)
    # Set once the process ends and no call is in progress.
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    # What is wrong with the configuration that the control plane sends, in words for operators.
    config_problem: Callable[[], str] = str
    # What of its own work fails, likewise.
    background_problem: Callable[[], str] = str
    # The other workers of this gateway, if it has several.
    siblings: Siblings | None = None

    def apply(self, index: Index) -> None:
        """Put a configuration in force for all new calls."""
        index.serve_from(self.settings.region)
        self.router.apply(index.routes)
        self.index = index
        self.metrics.revision.set(index.revision)
        self.first_tokens.keep_only({target_id for target_id, _ in index.backends})
        # Last: what is forgotten does not come back if anything of this fails.
        if index.gone_limits is None:
            self.limiter.forget_all_but(index.limit_ids)
        else:
            self.limiter.forget(index.gone_limits)
        if self.siblings:
            # Before any of them acknowledges for all.
            self.siblings.report(self._own_ack(""))

    def ready_index(self) -> Index:
        """The configuration in force. Raises Refusal (503) before the first one, and while the process ends."""
        if self.index is None:
            raise unavailable("The gateway has no configuration yet. Try again in a moment.", "not_ready")
        if self.is_draining:
            raise unavailable(
                "This gateway is shutting down. Try again: another one will answer.", "shutting_down"
            )
        return self.index

    def require_spool(self) -> None:
        """Raises Refusal (503) while usage cannot be recorded: the gateway serves no call that it cannot meter."""
        if not self.spool.is_writable:
            raise usage_not_recorded()

    def note_refused(self, request: Request, status: int, code: str, refusal: Refusal) -> None:
        """Count a refused call for the control plane, unless the ledger has it, or nobody's key made it.

        Args:
            request: the call.
            status: of the answer.
            code: of the answer.
            refusal: the reason, which may be a limit.
        """
        if request.key_id and not request.is_recorded:
            limit = refusal.limit if isinstance(refusal, LimitReached) else None
            model = request.asked_model
            self.refused.note(request.id, request.key_id, model, status=status, code=code, limit=limit)

    def call_began(self) -> None:
        """Count a call in progress."""
        self.active += 1

    def call_ended(self) -> None:
        """Count a call as ended. While the process ends, the last one wakes those who wait for it."""
        self.active -= 1
        if self.is_draining and self.active == 0:
            self.idle.set()

    def describe(self, problem: str, refused: RefusedRevision | None = None) -> Ack:
        """The report for the control plane: of all workers, if there are several."""
        own = self._own_ack(problem, refused)
        return self.siblings.acknowledge(own) if self.siblings else own

    def _own_ack(self, problem: str, refused: RefusedRevision | None = None) -> Ack:
        return Ack(
            revision=self.index.revision if self.index else 0,
            started_at=rfc3339(self.started_at),
            spool_pending=self.spool.pending,
            counters={
                **self.metrics.totals,
                "active": self.active,
                "backends_ejected": self.router.ejected,
                **self.refusals.counters(),
            },
            version=code_version(),
            problem=problem or self._problem(),
            contract_version=self.index.snapshot.contract_version if self.index else CONTRACT_VERSION,
            refused=refused,
            reads=list(CONTRACT_VERSIONS),
            workers=self.settings.workers,
            signing_keys=[pin.fingerprint for pin in self.settings.config_keys],
            counts_in=place_name(self.settings.redis_url),
        )

    def _problem(self) -> str:
        spool = "The usage spool cannot be written." if not self.spool.is_writable else ""
        return " ".join(
            filter(
                None,
                (
                    spool,
                    self.spool.problem,
                    self.limiter.problem,
                    self.router.alarms.problem,
                    self.background_problem(),
                ),
            )
        )

    def metrics_text(self) -> bytes:
        """The Prometheus exposition of this gateway."""
        return self.siblings.exposition() if self.siblings else self.own_metrics_text()

    def own_metrics_text(self) -> bytes:
        """The Prometheus exposition of this process, with current gauges."""
        self.metrics.active.set(self.active)
        self.metrics.body_bytes.set(self.bodies.used)
        self.metrics.answer_bytes.set(self.answers.used)
        self.metrics.set_connections(self.router.connections())
        self.metrics.spool_pending.set(self.spool.pending)
        self.metrics.spool_writable.set(int(self.spool.is_writable))
        return self.metrics.text()

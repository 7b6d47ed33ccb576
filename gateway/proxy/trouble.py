"""What went wrong at the backends of one call, and what the client is told if none of them answers."""

import email.utils
import math
import time

from gateway.proxy.errors import Refusal, retry_after, unavailable
from gateway.proxy.index import Backend, Route
from gateway.proxy.routing import Router

# With these statuses the client did nothing wrong: our route or account is at fault.
OURS = (401, 402, 403, 404, 405, 407, 408, 425)
# Statuses from a running server: its own problem, or a problem of this call only.
FROM_A_WORKING_BACKEND = (500, 501, *OURS)
# How many backends may time out for one call.
_MOST_SILENT = 2


class BackendFault(Exception):
    """A backend failed before any part of its answer was sent on.

    `status` is the one it sent, or should have sent; `refusal` is for the client, if no other backend succeeds.
    """

    def __init__(
        self,
        status: int,
        refusal: Refusal,
        *,
        reason: str = "",
        is_down: bool = False,
        retry_after_seconds: float = 0.0,
    ) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.refusal = refusal
        self.reason = reason or str(status)
        # True if apparently no server runs at the address.
        self.is_down = is_down
        self.retry_after_seconds = retry_after_seconds


class Trouble:
    """The failures of backends that did not answer one call."""

    # Until there is one.
    _limited: Refusal | None = None
    _other: Refusal | None = None
    _unfit: Refusal | None = None
    _busy: Refusal | None = None
    _doubtful: tuple[tuple[Backend, BackendFault], ...] = ()
    _is_all_reached = True
    _silent = 0

    def __init__(self, router: Router, route: Route) -> None:
        self._router = router
        self._route = route

    def unreachable(self, backend: Backend) -> None:
        """The gateway cannot connect to the backend."""
        self._router.failed(backend, "connect")
        self._is_all_reached = False

    def busy(self) -> None:
        """All connections that the call might use are in use, which says nothing about the backend."""
        self._busy = unavailable(
            "All connections to the backends of this model are in use. Try again shortly.", "backends_busy"
        )

    def over_quota(self, backend: Backend, wait_seconds: float) -> None:
        """Our quota at the backend's provider has no room for the call, which says nothing about the backend."""
        self._router.over_quota(backend)
        self._limited = _sooner(self._limited, quota_used_up(wait_seconds))

    def unfit(self, refusal: Refusal) -> None:
        """The call cannot be said in the backend's dialect; another one may take it."""
        self._unfit = refusal

    def disconnected(self, backend: Backend) -> None:
        """The connection broke before there was an answer."""
        self._router.failed(backend, "disconnect")
        self._other = backend_failed()

    def silent(self, backend: Backend) -> None:
        """The backend got the call and did not begin to answer in time. Raises the refusal for the second one."""
        self._router.failed(backend, "timeout", is_reachable=True)
        self._other = Refusal(
            504, "backend_timeout", "The model did not answer in time. Try again.", kind="server_error"
        )
        self._silent += 1
        if self._silent >= _MOST_SILENT:
            self._other.is_unanswered = True
            raise self._other

    def fault(self, backend: Backend, fault: BackendFault) -> None:
        """The backend answered with an error. Raises the refusal at once if the call itself is at fault."""
        if fault.status == 429:
            self._router.limited(backend, fault.retry_after_seconds)
            self._limited = _sooner(self._limited, fault.refusal)
        elif fault.status in FROM_A_WORKING_BACKEND:
            self._doubtful = (*self._doubtful, (backend, fault))
            self._other = fault.refusal
        elif fault.status // 100 == 4:
            self._router.answered(backend)
            raise fault.refusal
        else:
            self._router.failed(backend, fault.reason, is_reachable=not fault.is_down)
            self._other = fault.refusal

    def another_answered(self) -> None:
        """Another backend answered, so the call is valid, and the backends that refused it are at fault."""
        for backend, fault in self._doubtful:
            if fault.status == 404:
                self._router.lacks(backend, self._route.config.model)
            else:
                self._router.failed(backend, fault.reason, is_reachable=True)
        self._doubtful = ()

    def nobody_answered(self, *, may_be_done: bool = False) -> Refusal:
        """The refusal for the client: 429 only if all backends answered 429.

        If its work `may_be_done` all the same, and costs each time, no other model is asked either.
        """
        refusal = self._refusal()
        # What cannot be said in their dialects is the call's own fault.
        refusal.is_unanswered = refusal is not self._unfit and not may_be_done
        return refusal

    def _refusal(self) -> Refusal:
        for backend, fault in self._doubtful:
            self._router.doubted(backend, fault.reason)
        if self._other is not None:
            return self._other
        if self._busy is not None:
            self._router.refused_as_busy(self._route)
            return self._busy
        if self._unfit is not None and self._limited is None and self._is_all_reached:
            return self._unfit
        if (
            self._limited is not None
            and self._is_all_reached
            and not self._router.is_any_ejected(self._route)
        ):
            return self._limited
        return unavailable(
            "No backend of this model can be reached at the moment. Try again shortly.",
            "no_backend_available",
            self._router.seconds_until_probe(self._route),
        )


def backend_failed() -> Refusal:
    """502 for a backend that failed, which is not the client's fault."""
    return Refusal(
        502,
        "backend_failed",
        "The model failed to answer. Try again. If the error persists, send this x-request-id to the "
        "operators.",
        kind="server_error",
        headers=retry_after(1.0),
    )


def quota_used_up(wait_seconds: float) -> Refusal:
    """429 for a model whose providers would refuse the call, because they have got too many of ours."""
    headers = retry_after(wait_seconds)
    return Refusal(
        429,
        "provider_quota_reached",
        "The gateways send as many calls to the provider of this model as it allows us at the moment. This is no "
        f"limit of your key. Try again in {headers['retry-after']} s.",
        kind="requests",
        headers=headers,
    )


def _sooner(one: Refusal | None, other: Refusal) -> Refusal:
    """The one of two 429s that permits the earlier retry."""
    waits = [
        seconds_of(refusal.headers.get("retry-after")) for refusal in (one, other) if refusal is not None
    ]
    return other if one is None or waits[1] < waits[0] else one


def seconds_of(header: str | None) -> float:
    """A `Retry-After`, given as seconds or as a date, in seconds; 0 if it is missing or invalid."""
    if header is None:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0

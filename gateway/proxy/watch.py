"""Stop the work on a call when its client goes away, its time is over, or the process ends and waits no longer."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gateway.proxy.errors import Refusal, unavailable
from gateway.proxy.request import Request

# After the end of an answer, for the backend's usage report.
_LAST_WORDS_SECONDS = 5.0


class Watch:
    """Watches over the work on one call, which is inside its `with`, once. Afterwards, and at its beginning, the
    attributes say whether the work was stopped, and why.
    """

    __slots__ = (
        "_end_of_time", "_ending", "_lacks_only_usage", "_request", "_seconds", "_task", "_timer", "is_client_gone",
        "stopped",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        ending: set[Callable[[], None]],
        lacks_only_usage: Callable[[], bool],
        seconds: float | None = None,
    ) -> None:
        """A watch that has not begun.

        Args:
            request: the client's.
            ending: holds what to call when the process ends.
            lacks_only_usage: whether the answer is complete; then work goes on for up to five seconds after the client
                has gone.
            seconds: how long the work may take; None: however long.
        """
        self._request = request
        self._ending = ending
        self._lacks_only_usage: Callable[[], bool] | None = lacks_only_usage
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._end_of_time: asyncio.TimerHandle | None = None
        self.is_client_gone = False
        # Why the work was stopped although the client is there.
        self.stopped: Refusal | None = None

    def __enter__(self) -> Self:
        """If the client has gone already, no work should begin."""
        self._task = asyncio.current_task()
        self._ending.add(self._end)
        if self._seconds is not None:
            loop = asyncio.get_running_loop()
            self._end_of_time = loop.call_later(self._seconds, self._stop, _too_late(self._seconds))
        self._request.watch(self._note_gone)
        self.is_client_gone = self._request.is_gone
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """What stopped the work is no error of it."""
        self._request.watch(None)
        self._ending.discard(self._end)
        # The call has this watch. Freed at once, not by the garbage collector, a call costs less.
        self._lacks_only_usage = None
        if self._timer is not None:
            self._timer.cancel()
        if self._end_of_time is not None:
            self._end_of_time.cancel()
        if kind is not asyncio.CancelledError or not (self.is_client_gone or self.stopped is not None):
            return False
        assert self._task is not None
        self._task.uncancel()
        return True

    def _note_gone(self) -> None:
        assert self._task is not None
        self.is_client_gone = True
        if self.stopped is not None:
            return
        if self._lacks_only_usage is not None and self._lacks_only_usage():
            self._timer = asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._task.cancel)
        else:
            self._task.cancel()

    def _end(self) -> None:
        self._stop(
            unavailable("This gateway is shutting down. Try again: another one will answer.", "shutting_down")
        )

    def _stop(self, why: Refusal) -> None:
        assert self._task is not None
        if self.stopped is None and not self.is_client_gone:
            self.stopped = why
            self._task.cancel()


def _too_late(seconds: float) -> Refusal:
    return Refusal(
        504,
        "call_timeout",
        f"The call took longer than the {seconds:g} seconds that calls to this model may take. Ask for less at once.",
        kind="server_error",
    )

"""Stop the work on a call when its client goes away, its time is over, or the process ends and waits no longer."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.proxy.errors import Refusal, unavailable
from gateway.proxy.request import Request

# After the end of an answer, for the backend's usage report.
_LAST_WORDS_SECONDS = 5.0


class Watch:
    """Watches over the work on one call. After `run`, the attributes say whether it was stopped, and why."""

    def __init__(
        self, request: Request, ending: set[Callable[[], None]], lacks_only_usage: Callable[[], bool]
    ) -> None:
        """`ending` holds what to call when the process ends. If `lacks_only_usage`, the answer is complete, and work
        goes on for up to five seconds after the client has gone.
        """
        self._request = request
        self._ending = ending
        self._lacks_only_usage: Callable[[], bool] | None = lacks_only_usage
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._end_of_time: asyncio.TimerHandle | None = None
        self.is_client_gone = False
        # Why the work was stopped although the client is there.
        self.stopped: Refusal | None = None

    async def run(self, work: Callable[[], Awaitable[None]], seconds: float | None = None) -> None:
        """Do the work, or as much as there is time for, which is `seconds` if given. Raises what it raises."""
        self._task = task = asyncio.current_task()
        assert task is not None
        self._ending.add(self._end)
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._end_of_time = loop.call_later(seconds, self._stop, _too_late(seconds))
        self._request.watch(self._note_gone)
        try:
            self.is_client_gone = self._request.is_gone
            if not self.is_client_gone:
                await work()
        except asyncio.CancelledError:
            if not self.is_client_gone and self.stopped is None:
                raise
            task.uncancel()
        finally:
            self._request.watch(None)
            self._ending.discard(self._end)
            # The call has this watch. Freed at once, not by the garbage collector, a call costs less.
            self._lacks_only_usage = None
            for timer in (self._timer, self._end_of_time):
                if timer is not None:
                    timer.cancel()

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

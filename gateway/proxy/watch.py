"""Stop the work on a call when its client goes away, or when the process ends and waits no longer."""

import asyncio
from collections.abc import Awaitable, Callable

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
        self.is_client_gone = False
        self.is_ending = False

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work, or as much as there is time for. Raises what it raises."""
        self._task = task = asyncio.current_task()
        assert task is not None
        self._ending.add(self._end)
        self._request.watch(self._note_gone)
        try:
            self.is_client_gone = self._request.is_gone
            if not self.is_client_gone:
                await work()
        except asyncio.CancelledError:
            if not (self.is_client_gone or self.is_ending):
                raise
            task.uncancel()
        finally:
            self._request.watch(None)
            self._ending.discard(self._end)
            # The call has this watch. Freed at once, not by the garbage collector, a call costs less.
            self._lacks_only_usage = None
            if self._timer is not None:
                self._timer.cancel()

    def _note_gone(self) -> None:
        assert self._task is not None
        self.is_client_gone = True
        if self._lacks_only_usage is not None and self._lacks_only_usage():
            self._timer = asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._task.cancel)
        else:
            self._task.cancel()

    def _end(self) -> None:
        assert self._task is not None
        self.is_ending = True
        self._task.cancel()

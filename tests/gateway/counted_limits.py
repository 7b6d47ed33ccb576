"""A limiter without `await`, both its clocks, and a limit, as the tests of limits use them."""

from gateway.contract import LimitConfig
from gateway.proxy.limits import EstimatedUsage

ONE = EstimatedUsage(input_tokens=1, output_tokens=0, is_output_named=True)


class Clock:
    """Both clocks of a limiter, moved by hand."""

    def __init__(self, now=1_750_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


def limit(kind, value, id="limit", **fields):
    return LimitConfig(**{"id": id, "scope": "key", "scope_id": "k", "kind": kind, "value": value, **fields})


class Counted:
    """A limiter without `await`, for one tenant."""

    def __init__(self, limiters, clock):
        self.limiters = limiters
        self.limiter = limiters.new(clock)

    def admit(self, limits, estimate=ONE):
        return self.limiters.run(self.limiter.admit(limits, estimate, "t"))

    def settle(self, reservation, tokens=0, nano=0):
        self.limiters.run(self.limiter.settle(reservation, tokens, nano))

    def undo(self, reservation):
        self.limiters.run(self.limiter.undo(reservation))

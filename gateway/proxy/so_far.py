"""What one model has done of a call, for the next model that is asked: both together are one call."""

import msgspec

from gateway.contract import LimitConfig
from gateway.proxy.limits import EstimatedUsage
from gateway.proxy.retries import Retries


class SoFar(msgspec.Struct):
    """Follows one call from model to model."""

    # Limits on requests to all models have counted it.
    is_counted: bool = False
    # Of the model that was asked first: its budget bounds further attempts.
    retries: Retries | None = None

    def may_go_on(self) -> bool:
        """Whether another model may be asked: not if a backend may have done work that costs each time."""
        return self.retries is None or self.retries.may_ask_another_model()


class CountedUsage(EstimatedUsage, frozen=True, gc=False):
    """The usage of a call that limits on requests to all models have counted already."""

    def of(self, limit: LimitConfig) -> int:
        if limit.kind == "requests_per_minute" and limit.model is None:
            return 0
        return EstimatedUsage.of(self, limit)


def counted(estimate: EstimatedUsage) -> CountedUsage:
    """The same usage, of a call that is counted already."""
    return CountedUsage(**{name: getattr(estimate, name) for name in estimate.__struct_fields__})

"""What one model has done of a call, for the next model that is asked: both together are one call."""

import msgspec

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


def counted(estimate: EstimatedUsage) -> EstimatedUsage:
    """The same usage, of a call that limits on requests to all models have counted already."""
    return msgspec.structs.replace(estimate, is_counted=True)

"""Calls that backends count in units, such as seconds, searches and pictures, or in tokens."""

from gateway.contract import Usage, total_tokens
from gateway.proxy.index import Price, Route
from gateway.proxy.limits import EstimatedUsage
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.usage import Reported


class UnitRequest(ParsedRequest):
    """One call as the client sent it, and what it may use in each of the ways in which a backend may count it."""

    content_type: str = "application/json"
    accept: str = "application/json"
    # By the call's own content: recorded if the answer reports nothing that is possible.
    own_usage: Usage = {}
    is_own_usage_exact: bool = False
    # That, and the tokens that a backend may report instead.
    possible_usage: tuple[Usage, ...] = ()
    # Bytes of what becomes tokens of the prompt.
    largest_input: int = 0
    # The most units that an answer may report.
    most_units: int = 0
    # Of pictures, as sent.
    size: str = ""
    # The answer is a text, not JSON.
    is_text: bool = False

    def is_priced_by(self, price: Price) -> bool:
        return any(price.has_all(usage) for usage in self.possible_usage)

    def cost(self, price: Price, usage: Usage) -> int:
        """As the ledger prices it; if that has no price, as much as was reserved, so that no limit is passed unseen."""
        if price.has_all(usage):
            return price.cost(usage)
        return max(price.cost(usage) for usage in self.possible_usage)

    def usage_of_dropped(self, route: Route, reported: Reported | None, size: int) -> Usage:
        return self.own_usage

    def estimate(self, route: Route, price: Price | None, default_output_tokens: int) -> EstimatedUsage:
        """The most that this call may use, whichever way it is counted."""
        return EstimatedUsage(
            input_tokens=max(total_tokens(usage) for usage in self.possible_usage),
            output_tokens=0,
            is_output_named=True,
            input_nano=max(price.cost(usage) for usage in self.possible_usage) if price else 0,
        )


def as_units(parsed: ParsedRequest) -> UnitRequest:
    """The call, at endpoints whose readers make such calls."""
    assert isinstance(parsed, UnitRequest)
    return parsed

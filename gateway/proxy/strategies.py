"""How a client wants its call routed (`x-routing-strategy`), among the targets that may receive it at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.proxy.errors import bad_request
from gateway.proxy.first_tokens import FirstTokens
from gateway.proxy.index import Backend, Price, Route
from gateway.proxy.parsed_requests import ParsedRequest

HEADER: Final = "x-routing-strategy"
CHEAPEST: Final = "cheapest"
FASTEST: Final = "fastest"
# What routes do anyway: by order and weight, over all variants.
AB_TEST: Final = "ab_test"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A route in the order that the client asked for. `said` is what the answer of a backend says about that."""

    route: Route
    # It works with other models, too.
    suits_fallbacks: bool
    said: Callable[[Backend], Mapping[str, str]]


def choose(
    asked: str, route: Route, parsed: ParsedRequest, first_tokens: FirstTokens, default_output_tokens: int
) -> Chosen:
    """The route as the strategy wants it. Raises Refusal (400) for an unknown one.

    Args:
        asked: value of the header.
        route: the backends that may receive the call.
        parsed: the call.
        first_tokens: how soon targets answer.
        default_output_tokens: the estimate where neither call nor route names a maximum.
    """
    name = asked.strip().lower()
    if name == CHEAPEST:
        costs = {
            one.id: _cost(one, route, parsed, default_output_tokens)
            for group in route.groups
            for one in group
        }

        def said_cost(backend: Backend) -> str:
            nano = costs.get(backend.id)
            return "nano=unknown" if nano is None else f"nano={nano}; currency=USD"

        return Chosen(_lowest_first(route, costs), True, _saying(name, said_cost))
    if name == FASTEST:
        medians = {one.id: first_tokens.median(one.id) for group in route.groups for one in group}

        def said_median(backend: Backend) -> str:
            found = medians.get(backend.id)
            return "ms=unknown" if found is None else f"ms={round(found[0] * 1000)}; streams={found[1]}"

        seconds = {one: found[0] if found else None for one, found in medians.items()}
        return Chosen(_lowest_first(route, seconds), True, _saying(name, said_median))
    if name == AB_TEST:
        return Chosen(route, True, _saying(name, lambda _: ""))
    variant = route.only(lambda one: one.config.variant == name)
    if variant is None:
        there = sorted({one.config.variant for group in route.groups for one in group})
        raise bad_request(
            f"This x-routing-strategy is not supported for the model `{route.config.model}`. Send `{CHEAPEST}`, "
            f"`{FASTEST}`, `{AB_TEST}` or one of its variants ({', '.join(there)}), or omit it.",
            code="unsupported_routing_strategy",
            param=HEADER,
        )
    return Chosen(variant, False, _saying(name, lambda _: ""))


def _saying(name: str, figures: Callable[[Backend], str]) -> Callable[[Backend], Mapping[str, str]]:
    def said(backend: Backend) -> Mapping[str, str]:
        """Neither the target nor its address: a client learns only of the variant."""
        parts = (name, f"variant={backend.config.variant}", figures(backend))
        return {HEADER: "; ".join(filter(None, parts))}

    return said


def _cost(backend: Backend, route: Route, parsed: ParsedRequest, default_output_tokens: int) -> int | None:
    """What the call may cost there by the catalog's offer, in nano-units; None: not known."""
    price = Price(backend.config.offer_nano_per_unit, "USD")
    if not parsed.is_priced_by(price):
        return None
    estimate = parsed.estimate(route, price, default_output_tokens)
    return estimate.input_nano + estimate.output_nano


def _lowest_first(route: Route, figures: Mapping[str, float | int | None]) -> Route:
    """Targets with the lowest figure first, whatever their order; those without one last, as the route has them."""
    groups = [
        tuple(one for group in route.groups for one in group if figures[one.id] == figure)
        for figure in sorted({figure for figure in figures.values() if figure is not None})
    ]
    rest = [tuple(one for one in group if figures[one.id] is None) for group in route.groups]
    return Route(route.config, tuple(filter(None, groups + rest)))


def require_no_strategy(headers: Mapping[str, str], route: Route) -> None:
    """Raises Refusal (400) for any strategy but `ab_test`, where something else chooses targets by weight.

    A variant is accepted if all targets that may receive the call are of it: there is nothing to choose.
    """
    asked = headers.get(HEADER)
    if asked is None:
        return
    variants = {one.config.variant for group in route.groups for one in group}
    if {asked.strip().lower()} not in ({AB_TEST}, variants):
        raise bad_request(
            f"This x-routing-strategy is not supported here. Send `{AB_TEST}`, or omit it.",
            code="unsupported_routing_strategy",
            param=HEADER,
        )

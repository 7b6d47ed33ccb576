"""What calls to a model cost, as limits on money count it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.contract import Mode, PriceConfig, Usage

_FALLBACKS: dict[str, str] = {
    "cache_read": "input",
    "cache_write": "input",
    # A limit counts at least this much. The ledger prices an hour by its own price, or not at all.
    "cache_write_1h": "cache_write",
    "reasoning": "output",
}
# The kinds that a call uses in any case. `UnitRequest` says it of calls that may be counted otherwise.
_NEEDED = frozenset(("input", "output"))
_NEEDED_WITHOUT_OUTPUT = frozenset(("input",))


@dataclass(frozen=True, slots=True)
class Price:
    """Whole nano-units per unit of each kind. Used only for limits, so every result is an upper bound."""

    nano: Mapping[str, int]
    currency: str
    per_call: int = field(init=False)
    # The highest price at which a token of the prompt, or of the answer, can be billed.
    per_input_token: int = field(init=False)
    per_output_token: int = field(init=False)
    # By kind, also of kinds that have the price of another one.
    _each: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        each = {kind: self._of(kind) for kind in (*_FALLBACKS, "input", "output", *self.nano)}
        per_call = each.pop("request", 0)
        for name, value in (
            ("_each", each),
            ("per_call", per_call),
            (
                "per_input_token",
                max(each[kind] for kind in ("input", "cache_read", "cache_write", "cache_write_1h")),
            ),
            ("per_output_token", max(each["output"], each["reasoning"])),
        ):
            # Of a frozen class.
            object.__setattr__(self, name, value)

    def covers(self, mode: Mode) -> bool:
        """Whether every kind that a call of this mode always uses has a price."""
        return (_NEEDED_WITHOUT_OUTPUT if mode == "embedding" else _NEEDED) <= self.nano.keys()

    def has_all(self, usage: Usage) -> bool:
        """Whether every kind of this usage has a price."""
        return all(_FALLBACKS.get(kind, kind) in self.nano or kind in self.nano for kind in usage)

    def cost(self, usage: Usage) -> int:
        """The cost of a call with this usage, in nano-units. Kinds without a price cost nothing."""
        nano = self.per_call
        for kind, count in usage.items():
            nano += count * self._each.get(kind, 0)
        return nano

    def _of(self, kind: str) -> int:
        price = self.nano.get(kind)
        if price is None:
            return self._of(_FALLBACKS[kind]) if kind in _FALLBACKS else 0
        return price


def compile_price(price: PriceConfig) -> Price | None:
    """The compiled price; None without any."""
    return Price(price.nano_per_unit, price.currency) if price.nano_per_unit else None

"""Kubernetes quantities in their canonical spelling.

The API server stores "1000m" as "1" and "2048Mi" as "2Gi". We write what it stores, so that a comparison shows
only what someone changed. The rules:
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from fractions import Fraction

_BINARY = {suffix: 1024**power for power, suffix in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"], start=1)}
_DECIMAL = {
    suffix: Fraction(10) ** power
    for suffix, power in [("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)]
}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|Pi|Ei|m|k|M|G|T|P|E|)")


def canonical_quantity(text: str) -> str:
    """`text` as the API server spells it: "0.5" is "500m", "2048Mi" is "2Gi". Raises ValueError if it is not a
    quantity.

    Amounts finer than a thousandth (or than one byte, with a binary suffix) are refused, as nobody means
    them.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f'{text!r} is not a quantity; write it as "2", "500m", "16Gi".')
    number, suffix = Fraction(match[1]), match[2]
    if suffix in _BINARY:
        scales = {"": Fraction(1)} | {name: Fraction(scale) for name, scale in _BINARY.items()}
        amount = number * _BINARY[suffix]
    else:
        scales, amount = _DECIMAL, number * _DECIMAL[suffix]
    for name, scale in sorted(scales.items(), key=lambda item: item[1], reverse=True):
        if amount >= scale and (amount / scale).denominator == 1:
            return f"{amount / scale}{name}"
    if amount == 0:
        return "0"
    raise ValueError(f"{text!r} is too precise; round it up.")

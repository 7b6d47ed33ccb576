"""What the readers of calls have in common: the model, plain numbers and texts, and estimates of tokens."""

from gateway.contract import Mode
from gateway.proxy.body import Body
from gateway.proxy.errors import bad_request
from gateway.proxy.tokens import estimate_text, with_margin
from gateway.proxy.unit_requests import UnitRequest

_TOKENS_OF_A_MEDIUM = 1000
_LONGEST_NAME = 512  # of a model


def begun(body: Body, mode: Mode) -> UnitRequest:
    """A call with its model. Raises Refusal (400) without one."""
    model = body.simple("model")
    if not isinstance(model, str) or not model or len(model) > _LONGEST_NAME:
        raise bad_request("Name a model: `model` must be a text, as GET /v1/models lists it.", param="model")
    return UnitRequest(model, mode, body)


def whole_number(body: Body, name: str, most: int) -> int | None:
    """A number from 1 to `most`, or None if it is not there. Raises Refusal (400)."""
    number = body.simple(name)
    if number is None:
        return None
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 10:
        number = int(number)  # in a form
    if type(number) is not int or not 1 <= number <= most:
        raise bad_request(f"`{name}` must be a whole number from 1 to {most:,}.", param=name)
    return number


def switch(body: Body, name: str) -> bool:
    """Whether a field is true. Raises Refusal (400) for anything but true and false."""
    given = body.simple(name)
    if given in ("true", "True", "1"):
        return True  # in a form
    if given in ("false", "False", "0", ""):
        return False
    if not isinstance(given, bool | None):
        raise bad_request(f"`{name}` must be true or false.", param=name)
    return bool(given)


def text(body: Body, name: str) -> str:
    """A text that is not empty. Raises Refusal (400)."""
    given = body.simple(name)
    if not isinstance(given, str) or not given:
        raise bad_request(f"`{name}` must be a text that is not empty.", param=name)
    return given


def tokens_of(size: int, media: int = 0) -> int:
    """An estimate of the tokens in so many bytes of text, and in media, on the high side; at least 1."""
    return max(1, with_margin(estimate_text(size)) + media * _TOKENS_OF_A_MEDIUM)

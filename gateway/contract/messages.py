"""What all messages of the contract have in common: numbers, texts, strictness, and their form as JSON."""

from typing import Annotated, TypeVar

import msgspec

# Nano-units in one unit of a currency.
NANO = 1_000_000_000

Count = Annotated[int, msgspec.Meta(ge=0)]
Revision = Annotated[int, msgspec.Meta(ge=0)]
Calls = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# The name of a kind of usage: a row of the console's `usage_kind`.
KindName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}\Z")]
Words = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]  # PostgreSQL keeps no NUL


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of strict messages: immutable, and a field that the reader does not know is an error."""


class OpenMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The base of messages that may gain optional fields within a version: immutable; unknown fields are ignored.

    What a reader must not ignore is not an optional field: see `ConfigHead.requires`.
    """


class ContractError(ValueError):
    """A message that does not follow the contract. The text gives the place and the reason."""


M = TypeVar("M", bound=Message | OpenMessage)


def encode(message: Message | OpenMessage) -> bytes:
    """A message as JSON."""
    return msgspec.json.encode(message)


def decode(kind: type[M], body: bytes) -> M:
    """Read a message. Raises ContractError, with the path of the fault, for anything but an exact `kind`."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ContractError(f"This is not a {kind.__name__}: {error}") from error

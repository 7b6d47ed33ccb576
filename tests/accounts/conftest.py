"""What tests of accounts share."""

from tests.accounts.authenticators import clock

__all__ = ["clock"]

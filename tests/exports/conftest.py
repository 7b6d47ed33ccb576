"""A project with priced calls: what a cost report is made of."""

from tests.billing.conftest import call, key, prices

__all__ = ["call", "key", "prices"]

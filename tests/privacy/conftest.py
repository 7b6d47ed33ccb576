"""Tests that tamper with entries are marked `as_owner`, as those of the audit log are."""

from tests.audit.conftest import rights_of_the_console
from tests.privacy.someone import dana

__all__ = ["dana", "rights_of_the_console"]

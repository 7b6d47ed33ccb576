"""Tests of this package that tamper are marked `as_owner`; what they test still works with the console's rights."""

from __future__ import annotations

import pytest

from tests.audit.tampering import become_the_console


@pytest.fixture(autouse=True)
def rights_of_the_console(request):
    if request.node.get_closest_marker("as_owner"):
        request.getfixturevalue("db")
        become_the_console()

"""Words are joined with the punctuation of the reader's language."""

from __future__ import annotations

import pytest
from django.utils import translation

from core.joined import listed, named


@pytest.mark.parametrize(
    ("language", "in_a_row", "with_name"),
    [("en", "cost, 3", "Calls: 40"), ("zh-hans", "cost、3", "Calls：40")],
)
def test_words_are_joined_as_the_language_does(language, in_a_row, with_name):
    with translation.override(language):
        assert listed(["cost", 3]) == in_a_row
        assert named("Calls", 40) == with_name
        assert listed([]) == ""

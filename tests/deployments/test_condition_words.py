"""Conditions of deployments are codes of the cluster; pages say them in the language of the reader."""

from __future__ import annotations

import pytest
from django.utils import translation

from deployments.cluster.base import ConditionType
from deployments.condition_words import STATUSES, TYPES, status_in_words, type_in_words


def test_every_type_of_a_driver_has_a_name():
    types = {
        value for name, value in vars(ConditionType).items() if name.isupper() and isinstance(value, str)
    }
    assert types
    assert types - set(TYPES) == set()


@pytest.mark.parametrize("words", [*map(type_in_words, TYPES), *map(status_in_words, STATUSES)])
def test_in_english_they_read_as_words(words):
    assert words[0].isalpha()


@pytest.mark.parametrize("code", TYPES)
def test_the_name_is_in_the_language_of_the_reader(code):
    with translation.override("zh-hans"):
        assert not type_in_words(code).isascii()


def test_what_only_the_cluster_knows_stays_as_the_cluster_says_it():
    assert (type_in_words("Frozen"), status_in_words("Maybe")) == ("Frozen", "Maybe")

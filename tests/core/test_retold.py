"""Sentences that are stored in English are said again in the language of their reader."""

from __future__ import annotations

import re

import pytest
from django.utils.translation import override

from core.stored_words import _DECLARED, retold


@pytest.fixture(autouse=True)
def chinese():
    with override("zh-hans"):
        yield


def reads_chinese(text, *names):
    """Whether a stored text reads in Chinese, beside names of people's own."""
    said = retold(text)
    for name in names:
        said = said.replace(str(name), "")
    return not re.search("[A-Za-z]{2}", said)


# Of products, commands and files, values of files, and words that Chinese keeps.
NAMES = [
    "Deployment", "Service", "Quartermaster", "UTC", "Pod", "HTTP", "API", "YAML", "kubeconfig",
    "kubectl logs --previous", "kubectl config view --raw --flatten --minify", "kubectl create namespace",
    "kubectl -n", "docs/deployments.md", "python -m deployments.engine_host", "make demo",
    "true", "false", "Token", "Webhook",
]  # fmt: skip


@pytest.mark.parametrize("sentence", _DECLARED, ids=lambda one: one.source[:40])
def test_a_stored_sentence_is_said_in_the_language_of_its_reader(sentence):
    places = dict.fromkeys(re.findall(r"%\((\w+)\)s", sentence.source), "x7")
    stored = sentence(**places)
    assert reads_chinese(stored, *NAMES)
    with override("en"):
        assert retold(stored) == stored


def test_a_sentence_within_a_sentence_is_said_too():
    stored = "The person who issued this token may not create such tokens now: Their role in Aurora Bank is viewer now."
    assert reads_chinese(stored, "Aurora Bank")


def test_two_sentences_after_each_other_are_both_said():
    stored = "The model's risk tier is high. The data class was internal and is now confidential."
    assert retold(stored).count("。") == 2
    assert reads_chinese(stored)


@pytest.mark.parametrize(
    "words", ["Their role was taken in spring.", "The leaked laptop key was removed", "No need any more."]
)
def test_what_people_wrote_stays_as_they_wrote_it(words):
    assert retold(words) == words


def test_what_is_cut_off_or_of_a_former_release_stays_as_it_is():
    assert retold("The service account is disab") == "The service account is disab"


def test_fixed_words_by_the_hundred_are_read_once():
    """Looked for in every combination, these would take years."""
    most = max(_DECLARED, key=lambda one: len(one.source.split("%(")))
    fixed = re.split(r"%\(\w+\)s", most.source)
    assert len(fixed) > 3
    text = fixed[0] + "".join(("x" + part) * 400 for part in fixed[1:-1]) + ("x" + fixed[-1] + "x") * 400
    assert retold(text) == text


def test_only_the_first_sentences_of_a_long_text_are_said():
    stored = "The model's risk tier is high. " * 30
    assert retold(stored).count("。") == 20

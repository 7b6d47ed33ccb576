"""The tour says its results in the language of the shell, or in the one that it is told."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from config.management.commands.tour import language_of


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh-hans"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "", "LC_MESSAGES": "zh_SG"}, "zh-hans"),
        ({"LANG": "de_DE"}, "en"),
    ],
)
def test_the_language_is_that_of_the_shell(environment, language):
    assert language_of(environment) == language


def test_what_goes_wrong_is_said_in_the_chosen_language():
    with pytest.raises(CommandError, match="请先启动演示：make demo"):
        call_command("tour", installation="/nowhere/demo.json", language="zh-hans")
    with pytest.raises(CommandError, match="Start the demo first: make demo"):
        call_command("tour", installation="/nowhere/demo.json", language="en")

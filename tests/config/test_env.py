"""Settings come from the environment and fail by name."""

import re
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.env import env, env_bool, env_database, env_int, env_list, env_seconds


@pytest.fixture(autouse=True)
def setting(monkeypatch):
    return lambda value: monkeypatch.setenv("A_SETTING", value)


def test_a_missing_setting_is_named():
    with pytest.raises(ImproperlyConfigured, match="A_SETTING must be set"):
        env("A_SETTING")


def test_a_setting_may_be_read_from_a_file(monkeypatch, tmp_path):
    (tmp_path / "secret").write_text("hush\n")
    monkeypatch.setenv("A_SETTING_FILE", str(tmp_path / "secret"))
    assert env("A_SETTING") == "hush"


def test_a_file_that_cannot_be_read_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("A_SETTING_FILE", str(tmp_path / "absent"))
    with pytest.raises(ImproperlyConfigured, match=r"A_SETTING_FILE names .*absent"):
        env("A_SETTING")


@pytest.mark.parametrize(
    ("read", "text", "complaint"),
    [
        (
            lambda: env_seconds("A_SETTING", 1),
            "10s",
            "A_SETTING must be a whole number of seconds, not '10s'",
        ),
        (lambda: env_int("A_SETTING", 1), "-1", "A_SETTING must be a whole number of at least 0"),
        (lambda: env_int("A_SETTING", 1, minimum=5), "4", "at least 5, not '4'"),
        (lambda: env_bool("A_SETTING", False), "maybe", "A_SETTING must be true or false, not 'maybe'"),
        (lambda: env_database("A_SETTING"), "mysql://x", "A_SETTING must be a PostgreSQL connection URL"),
        (lambda: env_database("A_SETTING"), "postgresql://u@h", "A_SETTING names no database"),
    ],
)
def test_a_malformed_setting_says_what_it_must_be(setting, read, text, complaint):
    setting(text)
    with pytest.raises(ImproperlyConfigured, match=complaint):
        read()


def test_a_database_url_becomes_djangos_dictionary(setting):
    setting("postgresql://app:s%40crt@db.example:5433/qm?sslmode=require")
    assert env_database("A_SETTING") == {
        "ENGINE": "core.database",
        "NAME": "qm",
        "USER": "app",
        "PASSWORD": "s@crt",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
    }


def test_words_are_separated_by_commas(setting):
    setting(" a, b,,c ")
    assert env_list("A_SETTING") == ["a", "b", "c"]


def test_every_setting_of_the_console_is_in_the_operators_table():
    root = Path(__file__).parent.parent.parent
    read = set(re.findall(r'\benv(?:_\w+)?\(\s*"(\w+)"', (root / "config/settings/base.py").read_text()))
    table = (root / "docs/operate.md").read_text()
    assert {name for name in read if f"`{name}`" not in table} == set()

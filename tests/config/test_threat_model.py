"""The threat model names tests that are there, and the docs name the checks and limits that are."""

from __future__ import annotations

import re
from pathlib import Path

from config import checks
from config.settings import base

ROOT = Path(__file__).parent.parent.parent
SECURITY = ROOT / "docs/security"


def test_every_test_that_the_threat_model_names_is_there():
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", (SECURITY / "threat-model.md").read_text()))
    assert len(named) > 15
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_rate_limit_is_documented_with_its_default():
    text = (SECURITY / "rate-limits.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| \w+ \| (\S+) \|", text, re.MULTILINE))
    assert rows == base.RATE_LIMITS


def test_every_check_is_documented():
    source = Path(checks.__file__).read_text()
    ids = set(re.findall(r'id="(qm\.\w+)"', source)) | {"qm.E003", "qm.E004"}
    text = (SECURITY / "headers.md").read_text()
    assert {name for name in ids if f"`{name}`" not in text} == set()

"""The first calls that pages show are answered, as they stand there, by a gateway."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.template.loader import render_to_string

from tests.gateway.proxy_fixtures import MODEL

NODE_CLIENT = Path(__file__).parent / "node_client"


@pytest.fixture
def page(shared_rig):
    """How the page of a claimed key shows the first call of the rig's model, with a new key."""
    return render_to_string(
        "components/snippets.html",
        {
            "gateway_url": f"{shared_rig.gateway.url}/v1",
            "gateway_root": shared_rig.gateway.url,
            "model_name": MODEL,
            "mode": "chat",
            "key_text": shared_rig.new_key(),
        },
    )


def run_here(code, tmp_path):
    return [sys.executable, "-c", code], tmp_path


def run_node(code, tmp_path):
    if (node := shutil.which("node")) is None:
        pytest.skip("Node.js is not installed; the client of the tests needs it")
    if not (NODE_CLIENT / "node_modules").is_dir():
        pytest.skip(f"Run npm ci in {NODE_CLIENT.name}: the official client is not installed")
    # Its packages are found from there.
    return [node, "--input-type=module", "-e", code], NODE_CLIENT


def run_shell(code, tmp_path):
    return ["bash", "-c", code.replace("curl ", "curl -sS ", 1)], tmp_path


@pytest.mark.parametrize(
    ("language", "run"),
    [("curl", run_shell), ("python", run_here), ("anthropic", run_here), ("node", run_node)],
)
def test_a_first_call_is_answered_as_it_stands_on_the_page(page, tmp_path, language, run):
    code = html.unescape(re.search(rf'id="snippet-{language}"[^>]*>(.*?)</pre>', page, re.DOTALL)[1])
    command, place = run(code, tmp_path)
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "not a language model" in done.stdout

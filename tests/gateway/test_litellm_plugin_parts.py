"""Parts of the LiteLLM plugin that need no LiteLLM: how it starts, and which routes it gives."""

import subprocess
import sys

import msgspec
import pytest

from core.secrets import GATEWAY_TOKEN, new_secret
from gateway.contract import (
    Ack,
    ConfigSnapshot,
    CredentialConfig,
    ProviderConfig,
    RouteConfig,
    SettingsConfig,
    decode,
    encode,
)
from gateway.litellm_plugin.background import Background, CannotStart, taken_settings
from gateway.litellm_plugin.routes import model_list
from gateway.proxy.index import Index
from gateway.proxy.ownership import own
from gateway.proxy.settings import read_settings
from gateway.proxy.vault import Vault
from tests.gateway.proxy_fixtures import REPOSITORY
from tests.gateway.targets import target

SECRET = "sk-of-the-provider-0123456789"


@pytest.fixture
def environment(tmp_path, monkeypatch):
    values = {
        "GATEWAY_ID": "gw-lite",
        "GATEWAY_TOKEN": new_secret(GATEWAY_TOKEN),
        "GATEWAY_CONTROL_URL": "http://127.0.0.1:1",
        "GATEWAY_STATE_DIR": str(tmp_path / "state"),
        "FORWARDED_ALLOW_IPS": "none",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return values


def test_a_second_worker_on_the_same_directory_does_not_start(environment, tmp_path):
    with own(tmp_path / "state"), pytest.raises(CannotStart, match="another gateway uses"):
        taken_settings()


def test_it_does_not_start_where_the_server_would_believe_any_forwarded_address(environment, monkeypatch):
    monkeypatch.delenv("FORWARDED_ALLOW_IPS")
    with pytest.raises(CannotStart, match="FORWARDED_ALLOW_IPS"):
        taken_settings()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("GATEWAY_WORKERS", "2", "several LiteLLM"), ("GATEWAY_TOKEN", "x", "complete gateway token")],
)
def test_a_wrong_setting_stops_the_start_with_its_name(environment, monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://127.0.0.1:1")
    with pytest.raises(CannotStart, match=words):
        taken_settings()


def test_it_says_what_it_is_except_to_a_console_of_version_1(environment):
    async def nothing():
        pass

    background = Background(read_settings(), nothing)
    assert background.describe("").kind == "litellm"
    snapshot = ConfigSnapshot(
        revision=3, issued_at="2026-01-01T00:00:00Z", keys=[], routes=[], contract_version=1
    )
    background._apply(Index(snapshot))
    sent = encode(background.describe(""))
    assert b"kind" not in sent
    assert decode(Ack, sent).kind is msgspec.UNSET


def provider(dialect, **fields):
    credentials = [CredentialConfig(kind="environment", value="PROVIDER_KEY")]
    return ProviderConfig(dialect=dialect, credentials=credentials, **fields)


def listed(tmp_path, monkeypatch, *targets):
    monkeypatch.setenv("PROVIDER_KEY", SECRET)
    snapshot = ConfigSnapshot(
        revision=1,
        issued_at="2026-01-01T00:00:00Z",
        keys=[],
        routes=[RouteConfig(model="aurora", modes=["chat"], targets=list(targets))],
        settings=SettingsConfig(separation_key="s" * 40),
    )
    models, problem = model_list(Index(snapshot), Vault(tmp_path, None))
    return [(one["litellm_params"], one["model_info"]) for one in models], problem


def test_routes_become_deployments_with_order_and_weight(tmp_path, monkeypatch):
    first = target(url="http://10.0.0.1/v1", id="one", upstream_model="up", weight=3)
    both = msgspec.structs.replace(
        first, id="two", weight=1, priority=1, addresses=["http://10.0.0.2/v1", "http://10.0.0.3/v1"]
    )
    models, problem = listed(tmp_path, monkeypatch, first, both)
    assert problem == ""
    assert [(info["id"], given["order"], given["weight"]) for given, info in models] == [
        ("one", 1, 3000),
        ("two http://10.0.0.2/v1", 2, 500),
        ("two http://10.0.0.3/v1", 2, 500),
    ]
    # Without a key LiteLLM would take one of its own environment.
    assert {given["api_key"] for given, _ in models} == {"none"}


@pytest.mark.parametrize(
    ("dialect", "url", "model", "base"),
    [
        ("openai", "https://a.example/v1", "openai/up", "https://a.example/v1"),
        ("mistral", "https://a.example/v1", "openai/up", "https://a.example/v1"),
        ("anthropic", "https://a.example/v1", "anthropic/up", "https://a.example"),
        ("azure", "https://a.example/openai", "azure/up", "https://a.example"),
    ],
)
def test_each_kind_of_provider_is_named_as_litellm_knows_it(tmp_path, monkeypatch, dialect, url, model, base):
    one = target(url=url, id="one", upstream_model="up", provider=provider(dialect))
    [(given, _)], problem = listed(tmp_path, monkeypatch, one)
    assert (given["model"], given["api_base"], given["api_key"], problem) == (model, base, SECRET, "")


def test_a_target_that_litellm_cannot_call_is_left_out_and_named(tmp_path, monkeypatch):
    url = "https://a.example/v1"
    targets = [
        target(
            url=url, id="behind", upstream_model="up", provider=provider("openai", proxy_url="http://p:1")
        ),
        target(url=url, id="odd", upstream_model="up", provider=provider("azure_v1")),
        target(url=url, id="known", upstream_model="up", provider=provider("openai")),
    ]
    models, problem = listed(tmp_path, monkeypatch, *targets)
    assert [info["id"] for _, info in models] == ["known"]
    assert "behind: it needs a private CA or a proxy" in problem
    assert "odd: the plugin does not know" in problem
    assert SECRET not in problem


def test_only_the_hooks_need_litellm():
    modules = ", ".join(
        f"gateway.litellm_plugin.{name}" for name in ("background", "calls", "answers", "requests", "routes")
    )
    code = f"import sys, {modules}; sys.exit('litellm' in sys.modules or 'django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def test_what_is_left_is_written_when_the_process_ends(environment, tmp_path):
    """Even where the interpreter takes no more work for threads."""
    code = (
        "import atexit, asyncio\n"
        "from gateway.litellm_plugin.background import Background, taken_settings\n"
        "async def sweep(): pass\n"
        "background = Background(taken_settings(), sweep)\n"
        "background.start()\n"
        "atexit.register(background.close)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    with own(tmp_path / "state"):
        pass

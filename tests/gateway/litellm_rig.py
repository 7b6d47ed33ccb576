"""A LiteLLM proxy with our plugin, a stand-in for the console, and a scripted backend."""

import json

import openai

from gateway.contract import SettingsConfig
from tests.gateway.proxy_fixtures import Rig, StandInControlPlane, wait_until
from tests.gateway.scripted_backend import ScriptedBackend
from tests.litellm.proxy import LiteLLM

HOOKS = "gateway.litellm_plugin.hooks"
# Its keys are ours; LiteLLM does not start without one of its own, which opens nothing.
MASTER_KEY = "sk-" + "0f9a73c1" * 8
MESSAGES = [{"role": "user", "content": "hello"}]


def plugin_settings(**router):
    """LiteLLM's configuration with the plugin, as docs/litellm.md shows it."""
    return {
        "general_settings": {"custom_auth": f"{HOOKS}.authenticate", "master_key": MASTER_KEY},
        "litellm_settings": {"callbacks": [f"{HOOKS}.callback"]},
        "router_settings": {"num_retries": 0, **router},
    }


class PluginRig(Rig):
    """As `Rig`, with LiteLLM in the place of our gateway."""

    def __init__(self, directory, **router):
        self.directory = directory
        self.control = StandInControlPlane()
        self.control.up()
        self.keys, self.routes, self.prices = [], [], []
        self.settings = SettingsConfig(
            max_body_bytes=100_000, separation_key="s" * 40, allowed_networks=["127.0.0.0/8"]
        )
        self.revision = 0
        self.publish(wait=False)
        self.lite = LiteLLM(
            directory,
            plugin_settings(**router),
            GATEWAY_ID="gw-lite",
            GATEWAY_TOKEN=self.control.token,
            GATEWAY_CONTROL_URL=self.control.url,
            GATEWAY_STATE_DIR=str(directory / "state"),
            FORWARDED_ALLOW_IPS="none",
        )
        self.backend = ScriptedBackend()

    def client(self, secret, **options):
        return openai.OpenAI(
            base_url=f"{self.lite.url}/v1", api_key=secret, max_retries=0, timeout=60, **options
        )

    def chat(self, secret, model, **fields):
        """One plain chat call."""
        return self.client(secret).chat.completions.create(model=model, messages=MESSAGES, **fields)

    def revoke(self, secret):
        """Remove a key, without waiting until anybody knows."""
        gone = self.key_id(secret)
        self.keys = [key for key in self.keys if key.key_id != gone]
        self.publish(wait=False)

    def lines(self, event):
        """The plugin's log lines of one kind."""
        texts = self.lite.log.read_text(errors="replace").splitlines()
        lines = [json.loads(text) for text in texts if text.startswith("{") and f'"{event}"' in text]
        return [line for line in lines if line.get("event") == event]

    def close(self):
        self.lite.kill()
        self.backend.close()
        self.control.close()


__all__ = ["MESSAGES", "PluginRig", "wait_until"]

"""What LiteLLM's configuration names: `authenticate` as `custom_auth`, and `callback` as one of its `callbacks`."""

from gateway.litellm_plugin.plugin import start

_plugin = start()
authenticate = _plugin.authenticate
callback = _plugin.callback

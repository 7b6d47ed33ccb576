"""Quartermaster's keys, models, limits and usage inside of a LiteLLM proxy, for those who keep it as their gateway.

LiteLLM's configuration names `gateway.litellm_plugin.hooks`. The plugin speaks the same contract with the console as
our own gateway does, with the same modules of `gateway.proxy`. docs/litellm.md says how to set it up, and what it
cannot promise.
"""

"""The demo engine: a small, honest, OpenAI-compatible server for laptops and tests. Imports no Django.

It is no language model and says so in every answer. All it says is a function of the prompt, so the same call
gives the same text, the same vectors and the same token counts, everywhere. Started as `python -m
deployments.engine`.
"""

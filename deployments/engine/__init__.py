"""The demo engine: a small, honest, OpenAI-compatible server for laptops and tests. Imports no Django.

It is not a language model and says so in every answer. Its output is a function of the prompt, so the same call
gives the same text, the same vectors and the same token counts, everywhere. Start it with `python -m
deployments.engine`.
"""

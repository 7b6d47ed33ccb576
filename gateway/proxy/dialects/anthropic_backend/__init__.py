"""A client of OpenAI's dialect in front of an Anthropic Messages backend."""

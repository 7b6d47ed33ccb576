"""A client of Anthropic's Messages API in front of a backend of OpenAI's dialect, or of a Messages backend."""

"""Translate calls between OpenAI's chat and Anthropic's Messages, in both directions.

Everything here is pure: bytes or parsed JSON in, bytes or JSON out, without I/O. `anthropic_backend` serves a client of
OpenAI's dialect from a Messages backend; `anthropic_client` serves a client of the Messages API, from either kind of
backend. `surfaces` fits a chat call to a provider that
speaks OpenAI's dialect in its own way. How providers are addressed is in `deployments.providers.dialects`.

The rule for everything that has no equal on the other side: what would change the answer is refused by name (400);
what changes nothing there is omitted, and the tables in `anthropic_backend.fields` and `anthropic_client.fields` say
why.
"""

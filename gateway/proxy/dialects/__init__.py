"""Translate calls between OpenAI's chat and Anthropic's Messages, in both directions.

Everything here is pure: bytes or parsed JSON in, bytes or JSON out, without I/O. `anthropic_backend` serves a client of
OpenAI's dialect from a Messages backend; `anthropic_client` serves a client of the Messages API, from either kind of
backend. `surfaces` fits a chat call to a provider that speaks OpenAI's dialect in its own way. How providers are
addressed is in `deployments.providers.dialects`.

The gateway counts, checks and renames chat answers only, so every stream is one of chunks at that point:

    chat client, Messages backend:      bytes → MessagesToChunks → EventStream → client
    Messages client, chat backend:      bytes → EventStream → ChunksToMessages → client
    Messages client, Messages backend:  bytes → MessagesRelay → client, and its chunks → EventStream

Whole answers go through `chat_completion`, `read_answer`, `Names` and `message` in the same order. For a call that
breaks off, `usage_so_far` has the prompt's tokens where the backend has reported them.

The rule for everything that has no equal on the other side: what would change the answer is refused by name (400);
what changes nothing there is omitted, and the tables in `anthropic_backend.fields` and `anthropic_client.fields` say
why.
"""

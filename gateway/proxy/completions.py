"""Calls of OpenAI's older completions API: a prompt as text or token ids, or a list of either, continued."""

from gateway.proxy.body import Body
from gateway.proxy.chat_fields import LARGEST_OUTPUT
from gateway.proxy.delivered import MOST_BYTES_OF_A_TOKEN
from gateway.proxy.errors import bad_request
from gateway.proxy.parsed_requests import (
    ParsedRequest,
    is_empty,
    model_of,
    read_numbers,
    read_stream,
)
from gateway.proxy.tokens import estimate_input, estimate_text

# Fields of this API that are engine controls in a chat.
OWN_FIELDS = frozenset(("prompt", "suffix", "echo", "best_of"))


def parse_completion(raw: bytes) -> ParsedRequest:
    """Read a completion call's body. Raises Refusal (400) naming the field that is missing or wrong."""
    body = Body(raw)
    parsed = ParsedRequest(model_of(body), "completion", body)
    prompt = body.raw_of("prompt")
    if prompt is None or is_empty(prompt, b'"['):
        raise bad_request("`prompt` must be a text or a list that is not empty.", param="prompt")
    # Without a text or a list in it, a list holds the token ids of one prompt.
    items = body.items_of("prompt") or []
    prompts = len(items) if items and memoryview(items[0])[0] in b'"[' else 1
    numbers = read_numbers(body, ("max_tokens", "n", "best_of"), least=0)
    answers = max(numbers["n"], 1)
    if numbers["best_of"] > answers:
        # They would be billed, and nothing that passes through here proves them.
        raise bad_request(
            "`best_of` must not be above `n`: the gateway cannot count answers that are not returned.",
            param="best_of",
        )
    if answers * prompts > LARGEST_OUTPUT:
        raise bad_request(f"`n` asks for more than {LARGEST_OUTPUT:,} answers in all.", param="n")
    # Each prompt gets its own answers.
    parsed.choices = answers * prompts
    parsed.named_output = numbers["max_tokens"]
    read_stream(parsed)
    parsed.input_estimate = estimate_input(prompt) + estimate_text(body.size_of("suffix"))
    echo = body.simple("echo")
    if not isinstance(echo, bool | None):
        raise bad_request("`echo` must be true or false.", param="echo")
    if echo:
        each = len(prompt) if b'"' in prompt else MOST_BYTES_OF_A_TOKEN * parsed.input_estimate
        parsed.echoed_bytes = each * answers
    return parsed

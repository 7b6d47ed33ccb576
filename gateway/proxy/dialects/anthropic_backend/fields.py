"""What becomes of each field of a chat call at a Messages backend.

Fields that are neither here nor in `request` are refused by name, and so is any other value of the fields in IDLE.
"""

from typing import Any, Final

# Omitted, whatever they say: they change nothing in the answer.
OMITTED: Final[dict[str, str]] = {
    "stream_options": "a Messages stream always reports usage; the gateway itself decides who sees it",
    "prompt_cache_key": "routes to a cache; Anthropic finds its cache by the prompt alone",
    "prompt_cache_options": "the same",
    "prompt_cache_retention": "the same; `cache_control` of a part is translated",
    "prediction": "makes an answer faster, not different",
    "metadata": "labels of stored answers; nothing is stored",
}
# Omitted with these values, which ask for nothing. The first is the default. Null asks for nothing in any field.
IDLE: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "min_p": (0,),
    "seed": (),
    "verbosity": ("medium",),
    "modalities": (["text"],),
    "store": (False,),
    "background": (False,),
    "functions": ([],),
    "function_call": (),
    "audio": (),
    "web_search_options": (),
    "moderation": (),
}
# Members of earlier messages that are omitted. All others in messages of users, systems and tools are refused.
OMITTED_IN_MESSAGES: Final[dict[str, str]] = {
    "name": "Messages knows no names of participants; Anthropic's own OpenAI surface omits it too",
}
# Members of an assistant's message that hold something. Others only echo an answer and are omitted: annotations,
# unsigned thoughts under any name, notes of a client.
HOLDING: Final = ("function_call", "audio", "images")

"""How each kind of provider is addressed: headers, paths, the list of its models, and what its API lacks.

Pure facts, read by the console and by the gateway; no Django and no I/O. Addresses are what providers document; a row
of an operator may have another one. A new provider that speaks OpenAI's dialect without any quirk needs no entry here:
`openai_compatible` serves it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

Endpoint = Literal[
    "chat", "completions", "embeddings", "responses", "rerank", "moderations", "transcriptions", "speech", "images",
    "messages", "count_tokens",
]  # fmt: skip
# In which dialect a provider takes a chat.
Speech = Literal["openai", "anthropic"]
# When a stream reports usage: if `stream_options.include_usage` asks for it; always, and asking is an error; always,
# and asking does no harm; in every event, growing.
UsageInStreams = Literal["asked", "unasked", "always", "every_event"]

# The Messages API of this version takes sampling parameters from models that have them; since 2026-10-21 any of them
# is an error for every model.
MESSAGES_VERSION: Final = "2023-06-01"
# The version of Azure's paths with deployments if a provider names none.
AZURE_VERSION: Final = "2024-10-21"

PATHS: Final[Mapping[Endpoint, str]] = {
    "chat": "chat/completions",
    "completions": "completions",
    "embeddings": "embeddings",
    "responses": "responses",
    "rerank": "rerank",
    "moderations": "moderations",
    "transcriptions": "audio/transcriptions",
    "speech": "audio/speech",
    "images": "images/generations",
    "messages": "messages",
    "count_tokens": "messages/count_tokens",
}
# Which of them takes calls to a model of each of the catalog's modes.
ENDPOINT_OF_MODE: Final[Mapping[str, Endpoint]] = {
    "chat": "chat",
    "completion": "completions",
    "responses": "responses",
    "embedding": "embeddings",
    "rerank": "rerank",
    "moderation": "moderations",
    "audio_transcription": "transcriptions",
    "audio_speech": "speech",
    "image_generation": "images",
}
# Parameters of self-hosted engines that OpenAI's own API refuses.
_OF_ENGINES: Final = frozenset(("top_k", "min_p", "repetition_penalty", "cache_salt", "chat_template_kwargs"))


def _paths(*endpoints: Endpoint, before: str = "") -> Mapping[Endpoint, str]:
    return MappingProxyType({name: before + PATHS[name] for name in endpoints})


_OPENAI: Final = _paths(
    "chat", "completions", "embeddings", "responses", "moderations", "transcriptions", "speech", "images"
)
_WITH_RERANK: Final = MappingProxyType({**_OPENAI, **_paths("rerank")})


_RESPONSES: Final = frozenset(("responses",))
_COMPLETIONS_AND_RESPONSES: Final = _RESPONSES | {"completion"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of provider. `slug` is stored; everything else may be corrected in a later release."""

    slug: str
    label: str
    # The usual base URL, with the version in its path. Empty: every customer has another one. `{…}`: to be filled in.
    base_url: str = ""
    speech: Speech = "openai"
    # The header that carries the credential, in small letters, and what stands before the credential.
    auth_header: str = "authorization"
    auth_prefix: str = "Bearer "
    # Sent with every call.
    headers: Mapping[str, str] = field(default_factory=dict)
    # Further modes in which it takes calls to every model that chats.
    chats_also: frozenset[str] = frozenset()
    # What follows the base URL. `{model}` is the provider's own name of the model, percent-encoded.
    paths: Mapping[Endpoint, str] = field(default_factory=lambda: _OPENAI)
    # The query of every call. `{version}` is the API version of the provider's row, else `default_version`.
    query: Mapping[str, str] = field(default_factory=dict)
    default_version: str = ""
    # The list of models, with its own query; empty: there is none, so a test calls a model instead.
    models_path: str = "models"
    models_query: Mapping[str, str] = field(default_factory=dict)
    # Under which member of the answer the list stands; empty: the answer is the list.
    models_member: str = "data"
    # Cut off from the names in that list: calls use the rest.
    models_prefix: str = ""
    # The list comes without a valid credential too. Then a test asks for `key_path`, or proves nothing about the key.
    is_list_public: bool = False
    key_path: str = ""
    # The list has what could be deployed, not what is; calls name a deployment, which is in no list.
    is_list_of_offers: bool = False
    # Fields that it refuses.
    not_taken: frozenset[str] = frozenset()
    # Fields that it knows under another name.
    renamed: Mapping[str, str] = field(default_factory=dict)
    usage_in_streams: UsageInStreams = "asked"
    # It takes `web_search_options` only for models that search in any case, which have a price per call.
    shapes_searches: bool = False
    # What it reports where, for people who compare its invoice with the ledger.
    usage_note: str = ""
    # What it wants beside the first call of a tool in each earlier answer, if the client does not have its own.
    beside_tool_calls: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.auth_header == self.auth_header.lower()

    def auth(self, credential: str) -> tuple[str, str]:
        """The header that authenticates a call, as name and value."""
        return self.auth_header, f"{self.auth_prefix}{credential}"

    def takes(self, mode: str) -> bool:
        """Whether it has an endpoint for calls of this mode. Chats reach Anthropic's in translation."""
        return mode == "chat" or ENDPOINT_OF_MODE.get(mode) in self.paths

    def modes_of(self, mode: str) -> frozenset[str]:
        """The modes in which it takes calls to a model of `mode`; empty if it has no endpoint for such models."""
        also = self.chats_also if mode == "chat" else frozenset()
        return frozenset(one for one in (mode, *also) if self.takes(one))

    def model_name(self, listed: str) -> str:
        """The name that calls use for a model, from the name in the list of models."""
        return listed.removeprefix(self.models_prefix)


_SLASHES = re.compile(r"/+$")


def url_of(dialect: Dialect, base_url: str, endpoint: Endpoint, *, model: str = "", version: str = "") -> str:
    """The URL of an endpoint.

    Args:
        dialect: the provider's kind.
        base_url: the provider's base URL; a query in it is kept.
        endpoint: what to call. Raises KeyError if this kind of provider does not have it.
        model: the provider's own name of the model, or the name of its deployment.
        version: the API version, for dialects that have one in the query; empty: the default.
    """
    path = dialect.paths[endpoint].replace("{model}", quote(model, safe=""))
    return _joined(dialect, base_url, path, dialect.query, version)


def models_url_of(dialect: Dialect, base_url: str, *, version: str = "") -> str:
    """The URL of the list of models; empty if there is none. `version` is as in `url_of`."""
    if not dialect.models_path:
        return ""
    return _joined(dialect, base_url, dialect.models_path, {**dialect.query, **dialect.models_query}, version)


def key_url_of(dialect: Dialect, base_url: str) -> str:
    """The URL that only a valid credential may read; empty if the list of models is not public anyway."""
    return _joined(dialect, base_url, dialect.key_path, dialect.query, "") if dialect.key_path else ""


def _joined(dialect: Dialect, base_url: str, path: str, query: Mapping[str, str], version: str) -> str:
    parts = urlsplit(base_url)
    own = {
        name: value.replace("{version}", version or dialect.default_version) for name, value in query.items()
    }
    whole = "&".join(filter(None, (parts.query, urlencode(own))))
    return urlunsplit((parts.scheme, parts.netloc, f"{_SLASHES.sub('', parts.path)}/{path}", whole, ""))


_DIALECTS: Final = (
    Dialect(
        "openai",
        "OpenAI",
        "https://api.openai.com/v1",
        not_taken=_OF_ENGINES,
        shapes_searches=True,
        renamed={"max_tokens": "max_completion_tokens"},
        chats_also=_RESPONSES,
    ),
    Dialect(
        "azure",
        "Azure OpenAI, by deployment",
        "https://{resource}.openai.azure.com/openai",
        auth_header="api-key",
        auth_prefix="",
        paths=_paths(
            "chat",
            "completions",
            "embeddings",
            "transcriptions",
            "speech",
            "images",
            before="deployments/{model}/",
        ),
        query={"api-version": "{version}"},
        default_version=AZURE_VERSION,
        is_list_of_offers=True,
        not_taken=_OF_ENGINES,
        shapes_searches=True,
        usage_note="The first event of a stream has no choices, only the results of content filters.",
    ),
    Dialect(
        "azure_v1",
        "Azure OpenAI, v1",
        "https://{resource}.openai.azure.com/openai/v1",
        auth_header="api-key",
        auth_prefix="",
        is_list_of_offers=True,
        not_taken=_OF_ENGINES,
        shapes_searches=True,
        renamed={"max_tokens": "max_completion_tokens"},
        usage_note="`model` names the deployment.",
        chats_also=_RESPONSES,
    ),
    Dialect(
        "anthropic",
        "Anthropic",
        "https://api.anthropic.com/v1",
        speech="anthropic",
        auth_header="x-api-key",
        auth_prefix="",
        headers={"anthropic-version": MESSAGES_VERSION},
        paths=_paths("messages", "count_tokens"),
        models_query={"limit": "1000"},
        usage_in_streams="always",
        usage_note="Cached tokens are beside `input_tokens`; thoughts are in `output_tokens`. Microsoft Foundry serves "
        "the same API under https://{resource}.services.ai.azure.com/anthropic/v1, without a list of models.",
    ),
    Dialect(
        "gemini",
        "Google Gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        paths=_paths("chat", "embeddings", "images"),
        models_prefix="models/",
        # An unknown name anywhere in a call is an error.
        not_taken=_OF_ENGINES | {"frequency_penalty", "reasoning", "thinking"},
        usage_in_streams="every_event",
        usage_note="Each event of a stream reports the usage so far. Thoughts may be in the total only.",
        # Gemini signs its calls of tools and refuses them without a signature, or with this word of Google's for
        # conversations that have none.
        beside_tool_calls={
            "extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}
        },
    ),
    Dialect(
        "mistral",
        "Mistral",
        "https://api.mistral.ai/v1",
        paths=_paths("chat", "embeddings", "moderations", "transcriptions"),
        not_taken=_OF_ENGINES | {"stream_options", "logit_bias", "logprobs", "top_logprobs", "store", "user"},
        renamed={"max_completion_tokens": "max_tokens", "seed": "random_seed"},
        usage_in_streams="unasked",
        usage_note="Every unknown field is an error (422). Cached tokens are in `num_cached_tokens`.",
    ),
    Dialect(
        "deepseek",
        "DeepSeek",
        "https://api.deepseek.com",
        paths=_paths("chat"),
        renamed={"max_completion_tokens": "max_tokens"},
        usage_note="Cached tokens are in `prompt_cache_hit_tokens`.",
    ),
    Dialect(
        "qwen",
        "Alibaba Model Studio (Qwen)",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        paths=_paths("chat", "embeddings"),
        renamed={"max_completion_tokens": "max_tokens"},
    ),
    Dialect(
        "moonshot",
        "Moonshot (Kimi)",
        "https://api.moonshot.ai/v1",
        paths=_paths("chat"),
        usage_in_streams="always",
        usage_note="A stream reports usage inside of its last choice. Cached tokens are in `cached_tokens`.",
    ),
    Dialect(
        "xai",
        "xAI",
        "https://api.x.ai/v1",
        paths=_paths("chat", "responses", "images"),
        usage_in_streams="always",
        usage_note="Reasoning tokens are beside `completion_tokens`, not inside of them.",
        chats_also=_RESPONSES,
    ),
    Dialect(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        paths=_paths("chat", "responses", "transcriptions", "speech"),
        not_taken=_OF_ENGINES | {"logit_bias", "logprobs", "top_logprobs"},
        usage_in_streams="always",
        usage_note="A stream reports usage under `x_groq` of its last event.",
        chats_also=_RESPONSES,
    ),
    Dialect(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        paths=_paths("chat", "completions", "embeddings", "responses"),
        is_list_public=True,
        key_path="key",
        usage_in_streams="always",
        usage_note="`cost` is in the credits of the account. Cache writes are in `cache_write_tokens`.",
        chats_also=_COMPLETIONS_AND_RESPONSES,
    ),
    Dialect(
        "together",
        "Together AI",
        "https://api.together.xyz/v1",
        paths=_paths("chat", "completions", "embeddings", "images", "rerank"),
        models_member="",
        chats_also=frozenset(("completion",)),
    ),
    Dialect(
        "perplexity",
        "Perplexity",
        "https://api.perplexity.ai",
        paths=_paths("chat"),
        models_path="",
        shapes_searches=True,
        usage_in_streams="always",
        usage_note="Searches and `reasoning_tokens` are counted beside everything else.",
    ),
    Dialect(
        "cohere",
        "Cohere",
        "https://api.cohere.ai/compatibility/v1",
        paths=_paths("chat", "embeddings"),
    ),
    Dialect(
        "vllm",
        "vLLM",
        paths=MappingProxyType({**_paths(
            "chat", "completions", "embeddings", "responses", "transcriptions"
        ), "rerank": "rerank"}),
        usage_note="`cache_salt` keeps tenants apart in the prefix cache.",
        chats_also=_COMPLETIONS_AND_RESPONSES,
    ),
    Dialect(
        "litellm",
        "LiteLLM proxy",
        paths=_WITH_RERANK,
        usage_note="It reports Anthropic's cached tokens inside of `prompt_tokens`.",
        chats_also=_COMPLETIONS_AND_RESPONSES,
    ),
    Dialect(
        "openai_compatible",
        "Other, compatible with OpenAI",
        paths=_WITH_RERANK,
    ),
)  # fmt: skip

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType({one.slug: one for one in _DIALECTS})

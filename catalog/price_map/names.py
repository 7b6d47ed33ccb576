"""Finding the provider, region and model that an entry's key names.

A key is the name under which LiteLLM calls a provider, such as `azure/eu/gpt-4o-2024-08-06`,
`bedrock/us-east-1/anthropic.claude-v2:1` or `fireworks_ai/accounts/fireworks/models/llama-v3p3-70b-instruct`.
Many keys name the same model, so a key is split in this order:

1. the provider: the one that the entry states, with all APIs of a provider under one name (`vertex_ai-*` is
   `vertex_ai`);
2. leading segments that repeat the provider, name a region, or name a variant (`high`, `1024-x-1536`,
   `1-month-commitment`): a variant is another price of the same model, not another model;
3. segments that are only a provider's folders (`accounts`, `models`, `@cf`) and the maker's organization
   (`meta-llama`);
4. the rest, joined by hyphens, in lower case, and spelled as in most of the file (`llama-v3p3` and
   `Meta-Llama-3.3` are `llama-3.3`), is the public name.

A name that is one word without a digit (`search`, `fast`) is too vague by itself, so its provider is added as a
prefix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# Providers that the file lists under several names.
_ONE_PROVIDER: Final = {
    "azure_text": "azure",
    "bedrock_converse": "bedrock",
    "bedrock_mantle": "bedrock",
    "cohere_chat": "cohere",
}
_FOLDERS: Final = frozenset(
    (
        "@cf", "@hf", "@oi", "accounts", "doc-intelligence", "fal-ai", "fireworks", "invoke", "meta-models", "models",
        "ps", "ranking", "routers",
    )
)  # fmt: skip
_REGION: Final = re.compile(
    r"(us|eu|apac|jp|au|ca|in|uk|global|us-gov|global-standard|data-zone)"
    r"|(af|ap|ca|cn|eu|il|me|mx|sa|us|us-gov)-(north|south|east|west|central|northeast|southeast|northwest|southwest)-\d"
)
_GEOGRAPHY: Final = re.compile(r"^(us|eu|apac|jp|au|ca|in|global|us-gov)\.(?=[a-z0-9]+\.)")
_VARIANT: Final = re.compile(
    r"\d+-x-\d+|hd|standard|low|medium|high|xhigh|max|auto|\d+-steps|max-steps|\d+-month-commitment|\*|"
    r"streaming|preset|speech|community|preview"
)
_PUBLIC_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
LONGEST_NAME: Final = 120

# Organizations, in lower case as in the keys, and the makers they stand for.
MAKERS: Final = {
    "ai21": "AI21",
    "alibaba": "Alibaba",
    "allenai": "Ai2",
    "amazon": "Amazon",
    "anthropic": "Anthropic",
    "baai": "BAAI",
    "baidu": "Baidu",
    "black-forest-labs": "Black Forest Labs",
    "bytedance": "ByteDance",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "deepseek-ai": "DeepSeek",
    "google": "Google",
    "gryphe": "Gryphe",
    "huggingfaceh4": "Hugging Face",
    "ibm": "IBM",
    "ibm-granite": "IBM",
    "inclusionai": "Inclusion AI",
    "meta": "Meta",
    "meta-llama": "Meta",
    "microsoft": "Microsoft",
    "minimax": "MiniMax",
    "minimaxai": "MiniMax",
    "mistral": "Mistral AI",
    "mistralai": "Mistral AI",
    "moonshot": "Moonshot AI",
    "moonshotai": "Moonshot AI",
    "nomic-ai": "Nomic",
    "nousresearch": "Nous Research",
    "nvidia": "NVIDIA",
    "openai": "OpenAI",
    "perplexity": "Perplexity",
    "qwen": "Alibaba",
    "sao10k": "Sao10K",
    "stabilityai": "Stability AI",
    "stepfun": "StepFun",
    "stepfun-ai": "StepFun",
    "swiss-ai": "Swiss AI",
    "tencent": "Tencent",
    "thenlper": "Alibaba",
    "twelvelabs": "TwelveLabs",
    "whereisai": "WhereIsAI",
    "writer": "Writer",
    "xai": "xAI",
    "xiaomimimo": "Xiaomi",
    "zai": "Z.ai",
    "zai-org": "Z.ai",
}
# Model families whose name identifies the maker, wherever they are hosted.
_FAMILIES: Final = [
    (re.compile(pattern), maker)
    for pattern, maker in [
        (r"claude-", "Anthropic"),
        (r"(ft-)?(gpt-|chatgpt-|o[134](-|$)|dall-e|whisper|sora-|tts-1|codex|davinci|babbage)", "OpenAI"),
        (r"(text-embedding-(3|ada)|omni-moderation)", "OpenAI"),
        (r"(gemini|gemma|veo-|imagen|lyria|text-embedding-00|chirp|codegemma)", "Google"),
        (r"(llama|codellama|meta-llama)", "Meta"),
        (r"(mistral|mixtral|codestral|devstral|magistral|ministral|pixtral|voxtral|open-mi)", "Mistral AI"),
        (r"(qwen|qwq|qvq|gte-|wan\d)", "Alibaba"),
        (r"deepseek", "DeepSeek"),
        (r"(command|embed-(english|multi|v\d)|rerank-|aya-|c4ai-)", "Cohere"),
        (r"glm-", "Z.ai"),
        (r"(kimi|moonshot)", "Moonshot AI"),
        (r"grok-", "xAI"),
        (r"(nova-(micro|lite|pro|premier|canvas|reel|sonic|2)|titan-)", "Amazon"),
        (r"phi-\d", "Microsoft"),
        (r"granite-", "IBM"),
        (r"(jamba|j2-)", "AI21"),
        (r"minimax", "MiniMax"),
        (r"bge-", "BAAI"),
        (r"flux", "Black Forest Labs"),
        (r"(nomic-embed)", "Nomic"),
        (r"voyage-", "Voyage AI"),
        (r"(doubao|seed(ream|ance)?-)", "ByteDance"),
        (r"(sonar|pplx-)", "Perplexity"),
        (r"(stable-|sd3|sdxl)", "Stability AI"),
        (r"(nemotron|nvidia-)", "NVIDIA"),
        (r"hermes-", "Nous Research"),
        (r"(mimo-)", "Xiaomi"),
    ]
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """The parts of a key: where the model is offered, its public name, and its variant."""

    provider: str
    region: str
    name: str
    variant: str
    maker: str


def read_key(key: str, said_provider: str) -> Place | None:
    """Split a key, given the provider that its entry names. None if the key has no public name."""
    provider = one_provider(said_provider)
    segments = [segment for segment in key.split("/") if segment]
    while len(segments) > 1 and _is_provider(segments[0], {provider, said_provider}):
        segments = segments[1:]
    region, organization = "", ""
    variants: list[str] = []
    rest: list[str] = []
    for position, segment in enumerate(segments):
        lower, is_last = segment.lower(), position == len(segments) - 1
        if not is_last and _REGION.fullmatch(lower):
            region = lower
        elif (not is_last or lower == "community") and len(segments) > 1 and _VARIANT.fullmatch(lower):
            variants.append(lower)
        elif not is_last and (lower in _FOLDERS or _is_provider(lower, {provider, said_provider})):
            continue
        elif not is_last and not rest and lower in MAKERS:
            organization = lower
        else:
            rest.append(segment)

    name = "-".join(rest).lower()
    if geography := _GEOGRAPHY.match(name):
        region, name = region or geography[1], name[geography.end() :]
    if provider in {"bedrock", "oci"} and (vendor := re.match(r"^([a-z0-9]+)\.(?=[a-z])", name)):
        organization, name = organization or vendor[1], name[vendor.end() :]
    name = spell(name, provider)
    if re.fullmatch(r"[a-z]+(-(pro|fast|turbo|deep|advanced))?", name) and len(key.split("/")) > 1:
        name = f"{provider.replace('_', '-')}-{name}"
    if not _PUBLIC_NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        return None
    return Place(provider, region, name, "/".join(variants), maker_of(name, organization))


def one_provider(said: str) -> str:
    """The provider behind a name in the file: `vertex_ai-llama_models` is `vertex_ai`."""
    if said in _ONE_PROVIDER:
        return _ONE_PROVIDER[said]
    for start in ("vertex_ai-", "fireworks_ai-"):
        if said.startswith(start):
            return start[:-1]
    return said.removeprefix("text-completion-")


def _is_provider(segment: str, providers: set[str]) -> bool:
    folded = segment.lower().replace("-", "_")
    return any(folded == provider.replace("-", "_") for provider in providers)


def spell(name: str, provider: str) -> str:
    """Spell a model's name as most of the file does, so that all offers of a model share one name."""
    if provider == "bedrock":
        # Remove revision 0. Other revisions stay, as in "-v2:1".
        name = re.sub(r":0(:\w+)?$", "", name)
        name = re.sub(r"(?<=\db)-1$", "", name)  # gpt-oss-120b-1:0
        if (shorter := re.sub(r"-v1$", "", name)) != name and re.search(r"\d", shorter):
            name = shorter  # claude-3-haiku-20240307-v1:0, but not nova-micro-v1:0
        name = re.sub(r"(-v\d+):(\d+)$", r"\1.\2", name)
    if provider == "databricks":
        name = name.removeprefix("databricks-").removeprefix("system.ai.")
    if provider == "azure_ai":
        name = name.removeprefix("fw-")
    if provider == "vertex_ai":
        name = name.removesuffix("-maas")
    name = re.sub(r"@(default)$", "", name)
    name = re.sub(r"[@:+~\s]+", "-", name)
    if provider == "fireworks_ai":
        name = re.sub(r"(?<=\d)p(?=\d)", ".", name)  # 3.3 is written 3p3
    if (prefix := re.match(r"^(alibaba|anthropic|cohere|meta|nvidia|openai|snowflake)-", name)) and maker_of(
        name[prefix.end() :]
    ):
        name = name[prefix.end() :]
    name = re.sub(r"^(llama)-?v?(?=\d)", r"\1-", name)
    name = re.sub(r"^(llama-\d)_(?=\d)", r"\1.", name)
    name = re.sub(r"^gpt-35-", "gpt-3.5-", name)
    if name.startswith("claude-"):
        name = re.sub(r"(?<=\d)\.(?=\d)", "-", name)
    return name.strip("-._")


def maker_of(name: str, organization: str = "") -> str:
    """The maker of the model, if its family or organization identifies it; otherwise an empty string."""
    for family, maker in _FAMILIES:
        if family.match(name):
            return maker
    return MAKERS.get(organization.lower(), "")

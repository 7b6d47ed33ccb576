"""What is known of an engine by the program that runs it: whether tenants may share its prefix cache. No Django.

vLLM and the demo engine take `cache_salt` with each call. Of every other program nothing is assumed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CACHE_SALT: Final = "cache_salt"
_FIRST_VLLM_WITH_SALT: Final = (0, 9)  # earlier ones ignore the field, and so would share their cache
_VLLM_IMAGE = re.compile(r"(?:^|/)vllm(?:-[a-z0-9]+)*(?=[:@]|$)")
_VERSION = re.compile(r":v?(\d+)\.(\d+)")


@dataclass(frozen=True)
class RuntimeFacts:
    """What one program does. `cache_key_field` is empty where no field is known to separate its prefix cache."""

    runtime: str = ""  # what it is called; empty: unknown
    cache_key_field: str = ""
    is_prefix_cache_off: bool = False


def facts_of(image: str, command: Sequence[str]) -> RuntimeFacts:
    """What is known of the engine that this image and command start.

    A command through a shell, or a wrapper of somebody's own, is unknown. `command` empty means the image's own.
    """
    words = list(command)
    if words[:3] in (["python", "-m", "deployments.engine"], ["python3", "-m", "deployments.engine"]):
        return RuntimeFacts("demo engine", CACHE_SALT)
    if _is_vllm(image, words):
        is_off = _last_switch(words, "--enable-prefix-caching", "--no-enable-prefix-caching") is False
        field = CACHE_SALT if _takes_salt(image) else ""
        return RuntimeFacts("vLLM", field, is_off)
    if words[:3] in (["python", "-m", "sglang.launch_server"], ["python3", "-m", "sglang.launch_server"]):
        return RuntimeFacts("SGLang", is_prefix_cache_off="--disable-radix-cache" in words)
    if words[:1] and re.fullmatch(r"(?:.*/)?llama-server", words[0]):
        is_off = _last_switch(words, "--cache-prompt", "--no-cache-prompt") is False
        return RuntimeFacts("llama.cpp", is_prefix_cache_off=is_off)
    return RuntimeFacts()


def _is_vllm(image: str, words: list[str]) -> bool:
    if words:
        is_module = words[0] in ("python", "python3") and words[1:3] == [
            "-m",
            "vllm.entrypoints.openai.api_server",
        ]
        return words[:2] == ["vllm", "serve"] or is_module
    return image.startswith("vllm/vllm-openai") and _VLLM_IMAGE.search(image) is not None


def _takes_salt(image: str) -> bool:
    """Whether this vLLM is new enough; one whose image says no version is taken for a new one."""
    version = _VERSION.search(image)
    return version is None or (int(version[1]), int(version[2])) >= _FIRST_VLLM_WITH_SALT


def _last_switch(words: Sequence[str], on: str, off: str) -> bool | None:
    """What the last of two opposite switches says; None if neither is there."""
    said = [word.split("=", 1)[0] == on for word in words if word.split("=", 1)[0] in (on, off)]
    return said[-1] if said else None

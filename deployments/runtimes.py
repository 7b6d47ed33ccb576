"""What an engine's program implies: whether tenants may share its prefix cache, and its endpoints. No Django.

vLLM from 0.9 and the demo engine take `cache_salt` with each call. Nothing is assumed of any other program. Earlier
vLLM silently ignores the field, so the version must be known: only vLLM's own images state it, in their tag.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

CACHE_SALT: Final = "cache_salt"
_FIRST_VLLM_WITH_SALT: Final = (0, 9)
# The first ones with the Responses API do not all separate their prefix cache there.
_FIRST_VLLM_WITH_RESPONSES: Final = (0, 11)
# The modes of models that each program serves with an endpoint of its own.
_TAKEN: Final[Mapping[str, frozenset[str]]] = {
    "vLLM": frozenset(("chat", "completion", "responses", "embedding", "rerank", "audio_transcription")),
    "SGLang": frozenset(("chat", "completion", "embedding", "rerank")),
    "llama.cpp": frozenset(("chat", "completion", "embedding", "rerank")),
    "demo engine": frozenset(("chat", "embedding")),
}
_COMPLETIONS: Final = frozenset(("completion",))
_VLLM_IMAGE = re.compile(r"(?:docker\.io/)?vllm/vllm-openai(?:-[a-z0-9]+)*(?=[:@]|$)")
_VLLM_RELEASE = re.compile(r"(?:docker\.io/)?vllm/vllm-openai:v(\d+)\.(\d+)")
# Caches outside of the engine, such as LMCache: all options about them, however shortened. A file of options may also
# name one.
_VLLM_ELSEWHERE = re.compile(r"--(?:kv(?!-cache-|-sharing-)|config$)")


@dataclass(frozen=True)
class RuntimeFacts:
    """What one program does. `cache_key_field` is empty where no field is known to separate its prefix cache."""

    # The engine's name; empty: unknown.
    runtime: str = ""
    cache_key_field: str = ""
    is_prefix_cache_off: bool = False

    def shared_with(self, other: RuntimeFacts) -> RuntimeFacts:
        """What is known of both engines: what is safe to assume while either of them may run."""
        return RuntimeFacts(
            self.runtime if self.runtime == other.runtime else "",
            self.cache_key_field if self.cache_key_field == other.cache_key_field else "",
            self.is_prefix_cache_off and other.is_prefix_cache_off,
        )


def program_digest(image: str, command: Sequence[str]) -> str:
    """A name of 64 characters for an image and a command; it changes when either changes."""
    return hashlib.sha256(json.dumps([image, list(command)]).encode()).hexdigest()


def ignores_salt(image: str, command: Sequence[str]) -> bool:
    """Whether this is a vLLM that is known to ignore `cache_salt`: one of its own images from before 0.9."""
    version = _VLLM_RELEASE.match(image)
    is_old = version is not None and (int(version[1]), int(version[2])) < _FIRST_VLLM_WITH_SALT
    return is_old and _is_vllm(image, list(command))


def facts_of(image: str, command: Sequence[str]) -> RuntimeFacts:
    """What is known of the engine that this image and command start.

    A command through a shell, or through a custom wrapper, is unknown. `command` empty means the image's own.
    """
    words = list(command)
    if words[:3] in (["python", "-m", "deployments.engine"], ["python3", "-m", "deployments.engine"]):
        return RuntimeFacts("demo engine", CACHE_SALT)
    if _is_vllm(image, words):
        if any(_VLLM_ELSEWHERE.match(_option(word)) for word in words):
            return RuntimeFacts("vLLM")
        is_off = _last_switch(words, "--enable-prefix-caching", "--no-enable-prefix-caching") is False
        return RuntimeFacts(
            "vLLM", CACHE_SALT if _is_release_since(_FIRST_VLLM_WITH_SALT, image) else "", is_off
        )
    if words[:3] in (["python", "-m", "sglang.launch_server"], ["python3", "-m", "sglang.launch_server"]):
        return RuntimeFacts("SGLang", is_prefix_cache_off="--disable-radix-cache" in words)
    if words[:1] and re.fullmatch(r"(?:.*/)?llama-server", words[0]):
        is_off = _last_switch(words, "--cache-prompt", "--no-cache-prompt") is False
        return RuntimeFacts("llama.cpp", is_prefix_cache_off=is_off)
    return RuntimeFacts()


def takes(
    mode: str,
    stated: Collection[str],
    image: str,
    command: Sequence[str],
    running_image: str = "",
    running_command: Sequence[str] = (),
) -> bool:
    """Whether an engine takes calls of a mode to a model of that mode: its desired program does, and the running one.

    A known program takes what is in `_TAKEN`. Nothing speaks against any other.

    Args:
        mode: of the model and the call.
        stated: modes that an operator has stated for the version, which count in any case.
        image: the desired program, as in `facts_of`.
        command: likewise.
        running_image: the program last seen running; empty with an empty command: none.
        running_command: likewise.
    """
    programs = [(image, command)]
    if running_image or running_command:
        programs.append((running_image, running_command))
    known = [_TAKEN.get(facts_of(*program).runtime) for program in programs]
    return mode in stated or all(one is None or mode in one for one in known)


def chats_also(image: str, command: Sequence[str]) -> frozenset[str]:
    """Further modes in which the engine takes calls to every model that chats; arguments as in `facts_of`."""
    runtime = facts_of(image, command).runtime
    if runtime == "vLLM" and _is_release_since(_FIRST_VLLM_WITH_RESPONSES, image):
        return _COMPLETIONS | {"responses"}
    return _COMPLETIONS if runtime in ("vLLM", "SGLang", "llama.cpp") else frozenset()


def _is_vllm(image: str, words: list[str]) -> bool:
    if words:
        is_module = words[0] in ("python", "python3") and words[1:3] == [
            "-m",
            "vllm.entrypoints.openai.api_server",
        ]
        return words[:2] == ["vllm", "serve"] or is_module
    return _VLLM_IMAGE.match(image) is not None


def _is_release_since(first: tuple[int, int], image: str) -> bool:
    """Whether this is one of vLLM's own images, with a tag that is new enough."""
    version = _VLLM_RELEASE.match(image)
    return version is not None and (int(version[1]), int(version[2])) >= first


def _option(word: str) -> str:
    """The name of the option as it is listed: vLLM also accepts `_` for `-`."""
    return word.split("=", 1)[0].replace("_", "-")


def _last_switch(words: Sequence[str], on: str, off: str) -> bool | None:
    """The value of the last of two opposite switches; None if neither is there."""
    said = [option == on for option in map(_option, words) if option in (on, off)]
    return said[-1] if said else None

"""What is known of an engine by its program; of any other nothing is assumed."""

import pytest

from deployments.runtimes import RuntimeFacts, facts_of

DEMO = ["python", "-m", "deployments.engine", "--model", "{model}"]
VLLM = RuntimeFacts("vLLM", "cache_salt")


@pytest.mark.parametrize(
    ("image", "command", "known"),
    [
        ("quartermaster/demo-engine:1", DEMO, RuntimeFacts("demo engine", "cache_salt")),
        ("vllm/vllm-openai:v0.11.0", [], VLLM),
        ("vllm/vllm-openai@sha256:abc", [], VLLM),
        ("registry.example/vllm:v0.9.2", ["vllm", "serve", "{model}"], VLLM),
        ("x", ["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"], VLLM),
        ("vllm/vllm-openai:v0.6.3", [], RuntimeFacts("vLLM")),
        (
            "vllm/vllm-openai:v0.6.3",
            ["vllm", "serve", "m", "--no-enable-prefix-caching"],
            RuntimeFacts("vLLM", is_prefix_cache_off=True),
        ),
        (
            "vllm/vllm-openai:v0.6.3",
            ["vllm", "serve", "m", "--no-enable-prefix-caching", "--enable-prefix-caching"],
            RuntimeFacts("vLLM"),
        ),
        ("lmsysorg/sglang:v0.5", ["python3", "-m", "sglang.launch_server"], RuntimeFacts("SGLang")),
        (
            "lmsysorg/sglang:v0.5",
            ["python3", "-m", "sglang.launch_server", "--disable-radix-cache"],
            RuntimeFacts("SGLang", is_prefix_cache_off=True),
        ),
        (
            "llama",
            ["/app/llama-server", "--no-cache-prompt"],
            RuntimeFacts("llama.cpp", is_prefix_cache_off=True),
        ),
        ("llama", ["llama-server"], RuntimeFacts("llama.cpp")),
        ("ghcr.io/huggingface/text-generation-inference:3", [], RuntimeFacts()),
        ("vllm/vllm-openai:v0.11.0", ["sh", "-c", "vllm serve m"], RuntimeFacts()),
        ("evil/vllm-openai-like:1", [], RuntimeFacts()),
        ("x", ["echo", "vllm", "serve"], RuntimeFacts()),
        ("", [], RuntimeFacts()),
    ],
)
def test_facts_follow_the_program(image, command, known):
    assert facts_of(image, command) == known

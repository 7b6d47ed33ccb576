"""What is known of an engine by its program; of any other nothing is assumed."""

import pytest

from deployments.runtimes import RuntimeFacts, facts_of

DEMO = ["python", "-m", "deployments.engine", "--model", "{model}"]
VLLM = RuntimeFacts("vLLM", "cache_salt")
SOME_VLLM = RuntimeFacts("vLLM")
SERVER = ["-m", "vllm.entrypoints.openai.api_server"]
NEW = "vllm/vllm-openai:v0.11.0"


@pytest.mark.parametrize(
    ("image", "command", "known"),
    [
        ("quartermaster/demo-engine:1", DEMO, RuntimeFacts("demo engine", "cache_salt")),
        ("vllm/vllm-openai:v0.11.0", [], VLLM),
        ("vllm/vllm-openai:v0.9.0", ["vllm", "serve", "{model}"], VLLM),
        ("vllm/vllm-openai:v0.11.0-x86_64", ["python3", *SERVER, "--model", "m"], VLLM),
        ("docker.io/vllm/vllm-openai:v1.0", [], VLLM),
        ("vllm/vllm-openai:v0.11.0@sha256:abc", [], VLLM),
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
        (
            "vllm/vllm-openai:v0.6.3",
            ["vllm", "serve", "m", "--no-enable-prefix-caching", "--enable_prefix_caching"],
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


@pytest.mark.parametrize("command", [[], ["vllm", "serve", "{model}"], ["python3", *SERVER]], ids=str)
@pytest.mark.parametrize(
    "image",
    [
        "vllm/vllm-openai",
        "vllm/vllm-openai:latest",
        "vllm/vllm-openai:nightly",
        "vllm/vllm-openai:v0",
        "vllm/vllm-openai:v0.8.5.post1",
        "vllm/vllm-openai:0.11.0",
        "vllm/vllm-openai:mine-v0.11.0",
        "vllm/vllm-openai@sha256:abc",
    ],
)
def test_a_vllm_that_does_not_say_that_it_is_new_enough_is_given_no_salt(image, command):
    assert facts_of(image, command) == SOME_VLLM


@pytest.mark.parametrize(
    "image",
    [
        "nvcr.io/nvidia/tritonserver:24.05-vllm-python-py3",
        "nvcr.io/nvidia/vllm:25.01-py3",
        "rocm/vllm:rocm6.2_mi300_ubuntu20.04_py3.9_vllm_0.6.4",
        "reg/own:2024.11",
        "registry.example/vllm:v0.9.2",
        "registry.example/vllm/vllm-openai:v0.11.0",
        "registry.example:5000/vllm-openai",
        "vllm/vllm-openai-nightly:v0.11.0",
        "evil/vllm/vllm-openai:v0.11.0",
        "x",
    ],
)
def test_the_version_of_an_image_of_somebody_elses_says_nothing_of_vllm(image):
    for command in (["vllm", "serve", "m"], ["python", *SERVER, "--model", "m"]):
        assert facts_of(image, command) == SOME_VLLM
    assert facts_of(image, []).cache_key_field == ""


@pytest.mark.parametrize(
    "words",
    [
        ["--kv-transfer-config", '{"kv_connector": "LMCacheConnectorV1", "kv_role": "kv_both"}'],
        ['--kv-transfer-config={"kv_connector": "NixlConnector"}'],
        ["--kv_transfer_config", "{}"],
        ["--kv-transfer-config.kv_connector", "LMCacheConnectorV1"],
        ["--kv-transfer", "{}"],
        ["--kv-offloading-size", "8", "--kv-offloading-backend", "lmcache"],
        ["--config", "vllm.yaml"],
        ["--config=vllm.yaml"],
    ],
    ids=str,
)
@pytest.mark.parametrize("switch", [[], ["--no-enable-prefix-caching"]], ids=str)
def test_of_a_cache_outside_the_engine_nothing_is_known(words, switch):
    """Neither whether it keeps salts apart, nor whether it is off when the engine's own is."""
    for command in (["vllm", "serve", "m"], ["python3", *SERVER, "--model", "m"]):
        assert facts_of(NEW, [*command, *switch, *words]) == SOME_VLLM


def test_other_options_of_the_cache_change_nothing():
    assert facts_of(NEW, ["vllm", "serve", "m", "--kv-cache-dtype", "fp8"]) == VLLM

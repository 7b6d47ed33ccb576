"""A sentence of a backend that reaches a caller names no place of ours, in whatever form it is written."""

import time

import pytest

from gateway.proxy.places import labels_of, names_a_host
from gateway.proxy.scrub import Scrubber

ATLAS = Scrubber("meta/llama-70b-instruct", "http://atlas.models.svc.cluster.local:8000/v1", "aurora-chat")
ELSEWHERE = Scrubber("up-model", "https://api.hyperion.example-corp.com/v1", "aurora-chat")

PLACES = [
    # addresses
    "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "10-0-0-1", "10.0.0.1/24", "::ffff:10.0.0.1", "fe80::1%eth0",
    # paths
    "/srv", "/tmp", "/models", "~/.cache", "$HOME/.cache/x", "${MODEL_DIR}/x", "%APPDATA%\\x", "C:/models/x",
    "\\\\server\\share", "//server/share", "/root/.cache/huggingface/hub/models--meta--llama/snapshots/abc",
    "models--meta-llama--Llama-3", "s3://bucket/model", "gs://bucket/model", "hf://meta/llama",
    # hosts, pods and services
    "vllm-7d9f8c6b5-x2x4q", "llama-predictor-00001-deployment-7d9f8c6b5-x2x4q", "vllm-0", "my-svc.ns", "node-a.example",
    "my_host:8080", "myhost:80", "h100-node-3", "dgx-a", "db01", "user@host", "ubuntu@gpu1", "gpu01",
    # devices, containers and processes
    "GPU-8f6d3c1a-1b2c-3d4e-5f60-718293a4b5c6", "MIG-8f6d3c1a-1b2c-3d4e-5f60-718293a4b5c6", "00000000:3B:00.0",
    "cuda:3", "3f2a9c8b7d6e", "sha256:3f2a9c8b7d6e5f4a", "pid 4711", "pid=4711", "0x7f3a2b1c9d10",
    # clouds
    "us-east-1", "aws-us-east-1", "europe-west4", "arn:aws:sagemaker:us-east-1:123456789012:endpoint/x",
    "projects/my-proj-123/locations/us/endpoints/4711", "org-AbCdEfGhIjKlMnOpQrStUvWx",
    # what the address of this backend is made of
    "atlas", "Atlas", "atlas-1", "models/atlas",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_every_form_of_a_place_is_cut_out(place):
    said = ATLAS.sentence(f"The prompt is too long ({place}) for this model.")
    assert place not in said
    assert "atlas" not in said.lower()
    assert said.startswith("The prompt is too long (")
    assert said.endswith(") for this model.")


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("[Errno -2] Name or service not known: 'vllm-prod'", "vllm-prod"),
        ("getaddrinfo ENOTFOUND vllm-prod, too long", "vllm-prod"),
        ("dial tcp: lookup mistral on 10.0.0.10:53: no such host", "mistral"),
        ("Could not resolve host: mistral", "mistral"),
        ("Cannot connect to host mistral:8000 ssl:default", "mistral"),
        ("Azure OpenAI deployment gpt4-prod-eu is too long", "gpt4-prod-eu"),
        ("The engine `secret-name` is overloaded", "secret-name"),
        ("litellm.BadRequestError: OpenAIException - too long. Received Model Group=secret-group", "secret-group"),
        ("litellm.BadRequestError: VertexAIException BadRequestError - too long", "Vertex"),
        ("Error from provider (Fireworks): too long", "Fireworks"),
        ("Llama 70B Instruct is too long", "70B"),
        ("hyperion says: too long", "hyperion"),
        ("Example-Corp says: too long", "Corp"),
    ],
)  # fmt: skip
def test_what_a_sentence_says_of_a_place_is_cut_out(said, secret):
    assert secret not in ATLAS.sentence(ELSEWHERE.sentence(said))


@pytest.mark.parametrize(
    "said",
    [
        "Invalid value: 'foo-bar'. Supported values are: 'low', 'medium', and 'high'.",
        "Use 'max_completion_tokens' instead of 'max_tokens'.",
        "Supported types: image/png, image/jpeg, image/webp and application/json.",
        "Send either input/output or and/or both, 24/7, 1/2.",
        "The date must be like 2024-08-06 or 06.08.2024 and the time 12:30:45.",
        "Integer 2130706433 is too large.",
        "Expected ',' or '}' at line 1 column 5 (char 4)",
        "gemini-2.5-pro-preview-05-20 is not able to do that; use llama-3.1-8b-instruct.",
        "gpt-4-0613 has a limit of 10:1 ratio.",
        "The audio must be 16 kHz mono; got 44.1 kHz, 24-bit.",
        "max_tokens:8000 exceeds max_model_len: 4096",
        "The engine is pre-processing non-streaming requests.",
        "The instance of the schema is not self-contained or is ill-formed.",
        "seed=12345678901 is out of range [-2147483648, 2147483647].",
        "JSON schema at #/properties/name has an unknown keyword.",
        "Language en-US is unknown; try de-DE or zh-CN.",
        "Use text-embedding-3-large with 1024 dimensions.",
        "A ratio of 3:4 or 16:9 or 1024x768.",
        "The models of this server have tools; the API has none.",
    ],
)
def test_sentences_without_a_place_stay_as_they_are(said):
    assert ATLAS.sentence(said) == said
    assert ELSEWHERE.sentence(said) == said


def test_words_that_sentences_have_anyway_tell_no_host():
    assert [one for one in labels_of("chat.api.atlas.prod.example.com") if names_a_host(one)] == ["atlas"]
    assert labels_of("10.0.0.1") == []
    said = "The chat model has no tools and the default context."
    assert Scrubber("up", "http://chat.default.svc:80/v1", "aurora").sentence(said) == said


@pytest.mark.parametrize("length", [20, 1200])
@pytest.mark.parametrize(
    "unit", ["a-", "a.", "/a", "a:", "0-", "::", "a-0", "bcd-", "~/", "$a", "%a", "a@", "projects/"]
)
def test_no_sentence_takes_long(unit, length):
    began = time.process_time()
    ATLAS.sentence("The host is " + unit * length)
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("kept", range(1, 30, 4))
def test_a_secret_that_reaches_beyond_what_is_read_of_a_sentence_is_cut_out_whole(kept):
    """No pattern knows this one, and the sentence before it shrinks."""
    secret = "harmlesswordsthatarealongpassword"
    said = "Wrong key:" + " " * (1190 - kept) + secret
    shown = Scrubber("own", "https://h.example.com/v1", "public").sentence(said, secrets=(secret,))
    assert "harm" not in shown
    assert shown.startswith("Wrong key:")
    assert "h" not in shown.removeprefix("Wrong key:")

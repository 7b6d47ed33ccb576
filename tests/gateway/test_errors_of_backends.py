"""What a backend says of a caller's fault reaches the caller; trouble of our own account does not."""

import openai
import pytest
import requests

from tests.gateway.proxy_fixtures import wait_until
from tests.gateway.scripted_backend import OWN_NAME, ScriptedBackend, add_route, plain, scripted_backend

MODEL = "aurora-refuses"
TOO_LONG = "This model's maximum context length is 2048 tokens."


@pytest.fixture(scope="module")
def scripted(shared_rig):
    with scripted_backend(shared_rig, MODEL) as backend:
        yield backend


def call(rig, key, model=MODEL):
    return requests.post(
        f"{rig.gateway.url}/v1/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "hello"}]},
        headers={"authorization": f"Bearer {key}"},
        timeout=60,
    )


@pytest.mark.parametrize(
    "content",
    [
        {"error": {"message": TOO_LONG, "type": "invalid_request_error", "param": "messages", "code": None}},
        {"object": "error", "message": TOO_LONG, "type": "BadRequestError", "param": None, "code": 400},
        {"error": TOO_LONG, "error_type": "validation"},
        {"error": TOO_LONG},
        {"detail": TOO_LONG},
        {"detail": [{"loc": ["body", "messages"], "msg": TOO_LONG, "type": "value_error", "input": {"a": 1}}]},
        {"detail": {"message": TOO_LONG}},
        {"message": TOO_LONG},
        {"error": {"error": {"message": TOO_LONG}}},
        {"errors": [{"message": TOO_LONG}]},
        [{"error": {"code": 400, "message": TOO_LONG, "status": "INVALID_ARGUMENT"}}],
        {"error": {"message": f'{{"error": {{"message": "{TOO_LONG}"}}}}'}},
        {"object": "error", "message": f"[{{'type': 'value_error', 'loc': ('body', 'messages'), 'msg': \"{TOO_LONG}\", "
         "'input': {'model': 'up-scripted', 'cache_salt': 'abc'}}]"},
        {"error_code": 400, "error_msg": TOO_LONG},
        {"errorMessage": TOO_LONG},
        {"Message": TOO_LONG},
        {"fault": {"faultstring": TOO_LONG}},
        {"base_resp": {"status_code": 2013, "status_msg": TOO_LONG}},
        TOO_LONG.encode(),
    ],
)  # fmt: skip
def test_the_sentence_that_helps_reaches_the_caller_in_every_shape(shared_rig, scripted, content):
    scripted.says(content, status=400)
    answer = call(shared_rig, scripted.key)
    assert answer.status_code == 400
    assert "maximum context length is 2048 tokens" in answer.json()["error"]["message"]
    assert "cache_salt" not in answer.text
    assert OWN_NAME not in answer.text


@pytest.mark.parametrize(
    "secret",
    [
        f"{OWN_NAME}", f"{OWN_NAME}-2024-08-06", "127.0.0.1", "10.0.0.7:8000", "[fd00::7]:8000", "fd00::7:1",
        "http://vllm-0.models.svc:8000/v1/chat/completions", "vllm-0.models.svc.cluster.local:8000",
        "localhost:8000", "/srv/models/secret-box/llama.gguf", "~/models/x", "C:\\models\\x.gguf",
        "../models/llama/x.bin", "llama-8b.Q4.gguf", "chatcmpl-0a1b2c3d4e", "req_011CQabc", "sk-abc123def456ghi",
        "0199a0f0-1111-7222-8333-444455556666", "gpu-node:8000",
    ],
)  # fmt: skip
def test_names_places_and_ids_are_cut_out_of_the_sentence(shared_rig, scripted, secret):
    scripted.says({"error": {"message": f"The prompt is too long ({secret}) for this model."}}, status=400)
    message = call(shared_rig, scripted.key).json()["error"]["message"]
    assert secret not in message
    assert message.startswith("The prompt is too long (")
    assert message.endswith(") for this model.")


@pytest.mark.parametrize(
    ("said", "secrets"),
    [
        ("HTTPConnectionPool(host='gpu-node-9', port=8000): too long", ["gpu-node-9"]),
        ("too long: pod vllm-7d9f8c5b6-x2x4z restarted", ["vllm-7d9"]),
        ("too long: upstream worker10 on rack3.dc2 unreachable", ["worker10", "rack3", "dc2"]),
        ("too long, running on 'a100-sxm4-80gb-07'", ["a100", "80gb"]),
        ("too long at engine-3.prod.example.com", ["engine-3", "prod", "example.com"]),
        ("too long at api.prod.example.com", ["prod", "example.com"]),
    ],
)
def test_hosts_that_a_sentence_speaks_of_are_cut_out(shared_rig, scripted, said, secrets):
    scripted.says({"error": {"message": said}}, status=400)
    message = call(shared_rig, scripted.key).json()["error"]["message"]
    assert "too long" in message
    assert not [secret for secret in secrets if secret in message]


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens must be at most 4096, not 8000.", "messages[3].content must be a text.", "Needs v1.2.3 or newer.",
        "top_p=1.5 is larger than 1.", "gpt-4o cannot see.", "body.messages.0.content is missing.",
        "response_format.json_schema.schema is missing.", "messages.3.tool_calls[0].function.name is too long.",
        "The server had 3 errors.", "tools.0.function.parameters: wrong", "The backend supports utf-8 only.",
        "claude-3.5-sonnet has no tools.", "Use the instance of python3.11 there.",
    ],
)  # fmt: skip
def test_sentences_that_help_stay_as_they_are(shared_rig, scripted, said):
    scripted.says({"error": {"message": said}}, status=400)
    assert call(shared_rig, scripted.key).json()["error"]["message"] == said


def test_a_stack_trace_and_control_characters_are_cut_off(shared_rig, scripted):
    text = 'It is\ttoo\r\nlong\u202e.\nTraceback (most recent call last):\n  File "/opt/vllm/x.py", line 3\nValueError'
    scripted.says({"error": {"message": text}}, status=422)
    answer = call(shared_rig, scripted.key)
    assert (answer.status_code, answer.json()["error"]["message"]) == (422, "It is too long .")
    scripted.says({"error": {"message": "long " * 5000}}, status=400)
    assert len(call(shared_rig, scripted.key).json()["error"]["message"]) <= 500
    scripted.says(b"<html><h1>nginx on gpu-17</h1></html>", status=400)
    assert "status 400" in call(shared_rig, scripted.key).json()["error"]["message"]


def test_codes_types_and_parameters_name_nothing_of_ours(shared_rig, scripted):
    error = {"message": "No.", "code": f"{OWN_NAME}", "type": "at 10.0.0.1", "param": "/srv/models/x"}
    scripted.says({"error": error}, status=400)
    shown = call(shared_rig, scripted.key).json()["error"]
    assert (shown["code"], shown["type"], shown["param"]) == (
        "refused_by_model",
        "invalid_request_error",
        None,
    )
    scripted.says(
        {"error": error | {"code": "context_length_exceeded", "param": "messages[0].content"}}, status=400
    )
    shown = call(shared_rig, scripted.key).json()["error"]
    assert (shown["code"], shown["param"]) == ("context_length_exceeded", "messages[0].content")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, {"message": "Incorrect API key provided: sk-abc"}),
        (402, {"message": "Insufficient credits on this account", "code": 402}),
        (403, {"message": "Your account may not"}),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}),
        (429, {"message": "stop", "type": "billing_hard_limit_reached"}),
        (400, {"message": "Your credit balance is too low to access this API"}),
        (400, {"message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}),
        (400, {"message": "no", "code": "account_deactivated"}),
    ],
)
def test_trouble_of_our_own_account_is_ours(shared_rig, scripted, status, error):
    def alarms():
        return sum(
            shared_rig.gateway.metric(
                f'llm_backend_account_refused_total{{backend="{scripted.id}",reason="{reason}"}}'
            )
            for reason in ("credentials", "payment", "permission", "quota")
        )

    before = alarms()
    scripted.says({"error": error}, status=status)
    with pytest.raises(openai.InternalServerError) as refused:
        shared_rig.client(scripted.key).chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hello"}]
        )
    assert refused.value.status_code in (502, 503)
    assert error["message"] not in refused.value.message
    assert alarms() == before + 1


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Invalid value for stop: 'invalid api key'"},
        {"message": "tool 'payment required' is not known"},
        {"message": 'tool "payment required" is not known'},
        {"message": "tool `out of credits` is not known"},
        {"message": "No such stop word as invalid api key", "param": "stop"},
    ],
)
def test_words_of_the_caller_are_no_trouble_of_our_account(shared_rig, scripted, error):
    scripted.says({"error": error}, status=400)
    answer = call(shared_rig, scripted.key)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, error["message"])


def test_an_alarm_is_a_log_line_and_a_problem_in_the_ack_until_the_backend_serves_again(shared_rig, scripted):
    scripted.says({"error": {"message": "Insufficient credits"}}, status=402)
    assert call(shared_rig, scripted.key).status_code in (502, 503)
    assert '"event":"backend_refuses_our_account"' in shared_rig.gateway.process.output()
    wait_until(lambda: scripted.id in shared_rig.control.acks[-1].problem, what="the alarm in an ack")
    scripted.says(plain())
    assert call(shared_rig, scripted.key).status_code == 200
    wait_until(lambda: scripted.id not in shared_rig.control.acks[-1].problem, what="the end of the alarm")


def test_a_backend_that_wants_money_is_passed_over_for_one_that_does_not(shared_rig):
    poor, rich = ScriptedBackend("poor"), ScriptedBackend("rich")
    try:
        key = add_route(shared_rig, "aurora-two", poor.backend(), rich.backend(priority=1))
        poor.says({"error": {"message": "Insufficient credits"}}, status=402)
        answer = call(shared_rig, key, "aurora-two")
        assert (answer.status_code, len(rich.asked)) == (200, 1)
    finally:
        shared_rig.routes = [route for route in shared_rig.routes if route.model != "aurora-two"]
        shared_rig.publish()
        poor.close()
        rich.close()


def test_a_limit_of_the_backend_itself_is_told_with_its_wait(shared_rig, scripted):
    scripted.says(
        {"error": {"message": "Rate limit reached, try in 7 s"}}, status=429, headers={"retry-after": "7"}
    )
    answer = call(shared_rig, scripted.key)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    scripted.says({"error": {"message": "busy"}}, status=429, headers={"retry-after": "gpu-17"})
    assert call(shared_rig, scripted.key).headers["retry-after"] == "1"

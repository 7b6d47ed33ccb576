"""Fields that steer an engine are refused by name, unless an operator allows them for the target."""

import json

import pytest
import requests

from deployments.engine_controls import ENGINE, NEVER, SHARED_STATE, is_control, may_be_allowed
from tests.gateway.scripted_backend import ScriptedBackend, add_route, scripted_backend

MODEL = "aurora-steered"


@pytest.fixture(scope="module")
def scripted(shared_rig):
    with scripted_backend(shared_rig, MODEL) as backend:
        yield backend


def call(rig, key, model=MODEL, raw=None, **fields):
    body = raw or json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}], **fields})
    return requests.post(
        f"{rig.gateway.url}/v1/chat/completions",
        data=body,
        headers={"authorization": f"Bearer {key}"},
        timeout=60,
    )


CONTROLS = {
    "vLLM": "priority cache_salt kv_transfer_params request_id chat_template mm_processor_kwargs ignore_eos min_tokens "
    "guided_decoding_backend truncate_prompt_tokens prompt_logprobs echo vllm_xargs return_token_ids stop_token_ids "
    "return_tokens_as_token_ids logits_processors media_io_kwargs ec_transfer_params prompt_embeds use_beam_search "
    "add_generation_prompt continue_final_message add_special_tokens lora_request do_remote_decode remote_host "
    "remote_block_ids return_token_offsets arrival_time trace_headers beam_search_params multi_modal_uuids tokenizer",
    "SGLang": "rid lora_path session_params custom_logit_processor custom_params bootstrap_host bootstrap_port "
    "bootstrap_room data_parallel_rank routed_dp_rank extra_key return_hidden_states stop_regex custom_labels ebnf "
    "image_data logit_processor routing_key",
    "TGI": "adapter_id truncate best_of adapter adapters watermark decoder_input_details top_n_tokens tool_prompt",
    "llama.cpp": "n_cmpl n_predict id_slot slot_id cache_prompt n_keep n_cache_reuse lora samplers grammar n_probs "
    "image_embeds n_ctx jinja ban_eos_token draft_model chat_template_path oaicompat_model kv_unified "
    "t_max_predict_ms timings_per_token backend __verbose speculative.n_max response_fields",
    "TensorRT-LLM": "disaggregated_params conversation_params agent_hierarchy lora_request "
    "lookahead_config scheduling_params",
    "Dynamo, Ollama, LiteLLM, OpenRouter": "nvext options keep_alive num_ctx api_base base_url api_key mock_response "
    "extra_body extra_headers fallbacks models provider bypass_cache logit_processors max_new_tokens litellm_metadata "
    "timeout engine mcp_servers callbacks webhook_url model_override trust_remote_code model_kwargs",
    "credentials, costs, other servers": "openai_api_base anthropic_api_key user_api_key api_key_header aws_role_name "
    "aws_web_identity_token vertex_ai_credentials azure_ad_token_provider azure_password client_secret s3_bucket_name "
    "langfuse_secret_key cost_per_query input_cost_per_second http_proxy HTTPS_PROXY proxies proxy_server_request "
    "region_name inference_geo model_alias_map base_model azure_deployment specific_deployment prompt_id gateway byok "
    "hidden_params http_client dynamic_callback_params callback_settings disable_global_guardrails betas "
    "guardrailConfig anthropic_beta performanceConfig additionalModelRequestFields enable_prefix_caching debug "
    "_internal _hidden_params raw_request",
    "of any kind": "prefix_salt Cache-Id use_cache cache_ttl target_host coordinatorUrl snapshot_path "
    "weights-dir X_Lora_Adapter image_base_url file_server_url audio_server_uri document_store_url pdf_service_url "
    "image_proxy_url media_host media_endpoint imageHost document_dir file_server_port photo_host_path TARGET_HOST "
    "WEIGHTS-DIR Snapshot_Path targethost targetHOST s3Url DBHost peer.port peer_hosts image_base_urls "
    "ServerAddr.",
}  # fmt: skip


@pytest.mark.parametrize("name", " ".join(CONTROLS.values()).split())
def test_an_engine_control_is_refused_by_name_and_reaches_no_engine(shared_rig, scripted, name):
    asked = len(scripted.asked)
    for value in (1, None, {"a": "b"}):
        answer = call(shared_rig, scripted.key, **{name: value})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", name)
        assert f"`{name}`" in error["message"]
    assert len(scripted.asked) == asked


@pytest.mark.parametrize(
    "name", ["Priority", "PRIORITY", "cacheSalt", "kv-transfer-params", "IdSlot", "LoRA_name"]
)
def test_spelling_hides_no_control(shared_rig, scripted, name):
    assert call(shared_rig, scripted.key, **{name: 1}).json()["error"]["param"] == name


def test_repeating_or_escaping_hides_no_control(shared_rig, scripted):
    head = '{"model":"' + MODEL + '","messages":[{"role":"user","content":"hello"}],'
    for tail in ('"priority":1,"priority":null}', '"\\u0070riority":1}', '"a":1,"priority":1,"a":2}'):
        answer = call(shared_rig, scripted.key, raw=head + tail)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "priority")


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ({"extra_body": {"priority": 1}}, "extra_body"),
        ({"nvext": {"ignore_eos": True}}, "nvext"),
        ({"chat_template_kwargs": {"chat_template": "{{ x }}"}}, "chat_template_kwargs.chat_template"),
        ({"chat_template_kwargs": {"enable_thinking": {"a": 1}}}, "chat_template_kwargs.enable_thinking"),
        ({"structured_outputs": {"json": {}, "regex": "(a+)+$"}}, "structured_outputs.regex"),
        ({"provider_options": {"api_base": "http://10.0.0.1"}}, "provider_options.api_base"),
        ({"structured_outputs": {"json": {}, "grammar": "root ::= x"}}, "structured_outputs.grammar"),
        ({"structured_outputs": {"json": {}, "_backend": "outlines"}}, "structured_outputs._backend"),
        ({"structured_outputs": {"json": {}, "_unknown": 1}}, "structured_outputs._unknown"),
        ({"response_format": {"type": "json_object", "_unknown": 1}}, "response_format._unknown"),
        ({"stream_options": {"_unknown": 1}}, "stream_options._unknown"),
        (
            {"data_sources": [{"type": "a", "parameters": {"index": "b", "endpoint": "http://10.0.0.1"}}]},
            "data_sources[0].parameters.endpoint",
        ),
        ({"service_tier": "priority"}, "service_tier"),
        ({"provider_options": {"lab": {"apiBase": "http://10.0.0.1"}}}, "provider_options.lab.apiBase"),
        ({"provider_options": [{"a": [{"extra_body": {}}]}]}, "provider_options[0].a[0].extra_body"),
        ({"provider_options": {"a": {"target_host": "10.0.0.1"}}}, "provider_options.a.target_host"),
        ({"structured_outputs": [{"regex": "(a+)+$"}]}, "structured_outputs[0].regex"),
        ({"stream_options": {"a": {"priority": 1}}}, "stream_options.a.priority"),
        ({"providerOptions": {"api_base": "http://10.0.0.1"}}, "providerOptions.api_base"),
        ({"Structured-Outputs": {"regex": "(a+)+$"}}, "Structured-Outputs.regex"),
        ({"chatTemplateKwargs": {"chat_template": "{{ x }}"}}, "chatTemplateKwargs.chat_template"),
        ({"providerOptions": {"gateway": {"order": ["x"]}}}, "providerOptions.gateway"),
        ({"metadata": {"api_base": "http://10.0.0.1"}}, "metadata.api_base"),
        ({"metadata": {"a": [{"user_api_key_auth": "x"}]}}, "metadata.a[0].user_api_key_auth"),
        ({"metadata": {"litellm_tags": "x"}}, "metadata.litellm_tags"),
        ({"metadata": {"model_info": {}}}, "metadata.model_info"),
        ({"chat_template_kwargs": [{"chat_template": "{{ x }}"}]}, "chat_template_kwargs"),
    ],
)
def test_nested_controls_are_refused_by_name(shared_rig, scripted, field, param):
    answer = call(shared_rig, scripted.key, **field)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_unknown_and_harmless_fields_pass_as_they_are(shared_rig, scripted):
    harmless = {
        "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "seed": 7,
        "metadata": {"a": "b", "request_id": "r", "session": "s", "organization": "o", "tags": ["t"], "priority": "1"},
        "frobnicate": [1, None],
        "x_my_field": {"deep": [1]}, "include_reasoning": True, "guided_choice": ["a"],
        "guided_json": {"type": "object"},
        "chat_template_kwargs": {"enable_thinking": False}, "service_tier": "auto", "logit_bias": {"5": 1},
        "skip_special_tokens": False, "reasoning_effort": "low", "verbosity": "low", "parallel_tool_calls": False,
        "response_format": {"type": "json_object"}, "tags": ["a"], "include_stop_str_in_output": True,
        "spaces_between_special_tokens": False, "allowed_token_ids": [5], "bad_words": ["x"],
        "documents": [{"text": "a"}],
        "thinking_token_budget": 5, "prompt_cache_retention": "24h", "report": 1, "support_level": 2,
        "web_search_options": {},
        "structured_outputs": {"json": {"type": "object", "properties": {"base_url": {"type": "string"}}}},
        "provider_options": {"a": {"b": [{"c": 1}, "priority"]}}, "support": 1, "transport": "x",
        # Fullwidth: another name to an engine, which is sent on as it is.
        "\uff50riority": 1,
        "json_schema": {"type": "object"}, "typical_p": 0.9,
        "data_sources": [{"type": "a", "parameters": {"index_name": "b", "in_scope": True}}],
    }  # fmt: skip
    answer = call(shared_rig, scripted.key, **harmless)
    assert answer.status_code == 200, answer.text
    sent = scripted.asked[-1][1]
    assert {name: sent[name] for name in harmless} == harmless


def test_an_operator_allows_a_control_for_a_target(shared_rig):
    free, strict = ScriptedBackend("free"), ScriptedBackend("strict")
    try:
        model = "aurora-allowed"
        key = add_route(
            shared_rig,
            model,
            strict.backend(),
            free.backend(priority=1, allowed_controls=["priority", "ignore_eos", "cache_salt"]),
        )
        assert call(shared_rig, key, model).status_code == 200
        assert (len(strict.asked), len(free.asked)) == (1, 0)
        # Only backends that take it are asked.
        for _ in range(5):
            assert call(shared_rig, key, model, priority=3, ignore_eos=True).status_code == 200
        assert (len(strict.asked), len(free.asked)) == (1, 5)
        assert free.asked[-1][1]["priority"] == 3
        refused = call(shared_rig, key, model, priority=3, echo=True).json()["error"]
        assert refused["param"] == "echo"
        assert call(shared_rig, key, model, cache_salt="mine").status_code == 400, "this one never"
        deep = {"echo": 1, "priority": 3}
        for _ in range(6):
            deep = {"x" * 60: deep}
        # What is allowed at one place allows nothing else at a place whose name looks the same.
        for hidden in (
            {"provider_options": deep},
            {"provider_options": {"x" * 60 + "a": {"cache_x": 1}, "priority": 3}},
        ):
            assert call(shared_rig, key, model, priority=3, **hidden).status_code == 400
    finally:
        shared_rig.routes = [route for route in shared_rig.routes if route.model != "aurora-allowed"]
        shared_rig.publish()
        free.close()
        strict.close()


def test_what_can_be_allowed_depends_on_how_many_tenants_a_target_serves():
    assert may_be_allowed("priority", serves_one_tenant=False)
    assert not may_be_allowed("id_slot", serves_one_tenant=False)
    assert may_be_allowed("id_slot", serves_one_tenant=True)
    assert not may_be_allowed("cache_salt", serves_one_tenant=True)
    assert not may_be_allowed("prefix_salt", serves_one_tenant=True)
    assert not may_be_allowed("use_cache", serves_one_tenant=False)
    assert may_be_allowed("use_cache", serves_one_tenant=True)
    assert may_be_allowed("continue_final_message", serves_one_tenant=False)
    assert not may_be_allowed("temperature", serves_one_tenant=True), "it is none, and passes anyway"
    assert not NEVER & (ENGINE | SHARED_STATE)
    assert not ENGINE & SHARED_STATE
    assert not any(map(is_control, ("temperature", "top_k", "metadata", "stop", "user", "tools", "n")))

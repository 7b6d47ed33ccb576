"""Fields of a call that steer an engine instead of asking a model something. Pure facts; no Django.

Gathered from the request schemas of vLLM, SGLang, TGI, llama.cpp, TensorRT-LLM, NVIDIA Dynamo, Ollama, LiteLLM
and OpenRouter. A client's field of such a name is refused by the gateway unless an operator allows it for a
target. Names are compared without case, hyphens and underscores, as engines differ in how they spell them.
"""

import re
from functools import lru_cache
from typing import Final

# Fields that no operator can allow: they would undo the separation of tenants, or lead a call elsewhere.
_NEVER: Final = """
cache_salt extra_key cache_key cache_namespace
api_base base_url api_key api_version api_type custom_llm_provider llm_provider endpoint_url proxy
extra_headers extra_query extra_body default_headers headers ssl_verify user_config model_list models fallbacks
context_window_fallbacks context_window_fallback_dict content_policy_fallbacks router_settings deployment_id
model_id model_info mock_response mock_tool_calls mock_timeout input_cost_per_token output_cost_per_token
aws_access_key_id aws_secret_access_key aws_session_token aws_region_name aws_bedrock_runtime_endpoint
vertex_project vertex_location vertex_credentials azure_ad_token azure_endpoint organization
adapter_path lora_path lora_local_path model_path tokenizer_path
custom_logit_processor logits_processors logit_processors logits_processor
"""

# State that calls of several tenants would share: only for a target that serves one tenant.
_SHARED_STATE: Final = """
cache_prompt id_slot slot_id n_cache_reuse n_keep n_discard session_params session session_id_params conversation_params
kv_transfer_params ec_transfer_params disaggregated_params kv_cache_retention_config encoded_opaque_state
bootstrap_host bootstrap_port bootstrap_room bootstrap_pair_key disagg_prefill_dp_rank
prompt_embeds input_embeds image_embeds audio_embeds multimodal_embeddings mm_embeddings keep_alive
"""

# The rest.
_ENGINE: Final = """
priority request_id rid conversation_rid request_priority scheduling_params agent_hierarchy agent_hints
data_parallel_rank routed_dp_rank dp_rank decode_worker_id prefill_worker_id backend_instance_id target_worker
n_predict num_predict max_new_tokens max_gen_len max_tokens_to_sample max_output_tokens max_length
best_of use_beam_search num_beams beam_width beam_width_array num_return_sequences n_best
ignore_eos ignore_eos_token min_tokens min_new_tokens min_length stop_token_ids stop_regex end_id pad_id eos_token_id
truncate_prompt_tokens truncate truncation_side prompt_ignore_length max_input_tokens num_ctx
prompt_logprobs echo logprob_start_len token_ids_logprob top_logprobs_num n_probs post_sampling_probs min_keep
return_token_ids return_tokens_as_token_ids return_tokens return_hidden_states return_routed_experts return_meta_info
return_prompt_token_ids return_prompt_text return_logprob return_context_logits return_generation_logits
return_perf_metrics return_encoder_output return_progress return_cached_tokens_details return_full_text return_entropy
return_bytes decoder_input_details top_n_tokens include_prompt timings_per_token response_fields
chat_template chat_format chat_template_name tool_prompt tool_call_parser reasoning_parser template raw system_prompt
prompt_token_ids input_ids token_ids token_data use_raw_prompt formatter
mm_processor_kwargs media_io_kwargs image_max_dynamic_patch video_max_dynamic_patch max_dynamic_patch images_kwargs
guided_decoding_backend guided_whitespace_pattern guided_regex guided_grammar structural_tag regex ebnf grammar
grammar_lazy grammar_triggers preserved_tokens structured_outputs_config disable_fallback
vllm_xargs extra_args custom_params custom_labels nvext sglext options parameters sampling_params engine_params
bypass bypass_cache bypass_scheduler no_logs no_log disable_log background watermark
samplers sampler_seq lookahead_config speculative_config speculative spec_decode num_speculative_tokens
t_max_predict_ms t_max_prompt_ms backend_sampling dynatemp_range mirostat mirostat_tau mirostat_eta
num_gpu num_thread num_batch num_keep main_gpu use_mmap use_mlock low_vram numa
enable_response_messages previous_input_messages stream_interval stream_include_usage force_reasoning
num_retries max_retries stream_timeout drop_params allowed_openai_params cooldown_time caching cache
guardrails no_cache rpm tpm provider route transforms plugins preset
"""

_PREFIXES: Final = (
    "lora",
    "bypass",
    "kvtransfer",
    "kvcache",
    "bootstrap",
    "disagg",
    "litellm",
    "speculative",
    "guideddecoding",
    "xvllm",
    "vllm",
    "sglang",
    "trtllm",
)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """A name as names are compared: small letters and digits alone."""
    return "".join(re.findall(r"[a-z0-9]", name.casefold()))


def folded(names: str) -> frozenset[str]:
    """Names with spaces between them, as they are compared."""
    return frozenset(map(fold, names.split()))


NEVER: Final = folded(_NEVER)
SHARED_STATE: Final = folded(_SHARED_STATE)
ENGINE: Final = folded(_ENGINE)
_ALL: Final = NEVER | SHARED_STATE | ENGINE


@lru_cache(maxsize=4096)
def is_control(name: str) -> bool:
    """Whether a field of this name steers an engine. Names that begin with two underscores are internal to some."""
    compared = fold(name)
    return (
        compared in _ALL or compared.startswith(_PREFIXES) or name.startswith("__") or "adapter" in compared
    )


def may_be_allowed(name: str, *, serves_one_tenant: bool) -> bool:
    """Whether an operator may let clients send a field to a target."""
    compared = fold(name)
    if compared in NEVER or not _NAME.fullmatch(name) or not is_control(name):
        return False
    is_shared = compared in SHARED_STATE or compared.startswith(("kv", "disagg", "bootstrap"))
    return serves_one_tenant or not is_shared

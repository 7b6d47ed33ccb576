"""Fields of a call that steer an engine instead of asking a model something. Pure facts; no Django.

Collected from the request schemas of vLLM, SGLang, TGI, llama.cpp, TensorRT-LLM, NVIDIA Dynamo, Ollama, LiteLLM
and OpenRouter. The gateway refuses a client's field of such a name unless an operator allows it for a target.
Comparisons of names ignore case, hyphens and underscores, as engines differ in how they spell them.

A field is a control if it decides how, where or with what a call runs: order and identity, caches, adapters,
templates and ready tokens, files, addresses, code, memory of the engine, limits other than those that the gateway
counts by, and whatever reveals the engine's internals. Fields that only shape the caller's own answer are not controls:
sampling, stop words, `guided_json`, `allowed_token_ids`, `skip_special_tokens`, `documents`.
"""

import re
from functools import lru_cache
from typing import Final

# Characters; no server has a field with a longer name.
LONGEST_NAME: Final = 128


def fold(name: str) -> str:
    """The folded form of a name of any length: lowercase letters and digits; empty for a name that no field has."""
    return _fold(name) if len(name) <= LONGEST_NAME else ""


# Clients choose these names, so the cache takes no long ones.
@lru_cache(maxsize=4096)
def _fold(name: str) -> str:
    return "".join(re.findall(r"[a-z0-9]", name.casefold()))


def folded(names: str) -> frozenset[str]:
    """The folded forms of names with spaces between them."""
    return frozenset(map(fold, names.split()))


# Fields that no operator can allow: they would undo the separation of tenants, or send a call elsewhere.
_NEVER: Final = """
cache_salt extra_key cache_key cache_namespace
api_base base_url api_key api_version api_type custom_llm_provider llm_provider endpoint_url proxy
extra_headers extra_query extra_body default_headers headers ssl_verify user_config model_list models fallbacks
context_window_fallbacks context_window_fallback_dict content_policy_fallbacks router_settings deployment_id
model_id model_info mock_response mock_tool_calls mock_timeout input_cost_per_token output_cost_per_token
aws_access_key_id aws_secret_access_key aws_session_token aws_region_name aws_bedrock_runtime_endpoint
vertex_project vertex_location vertex_credentials azure_ad_token azure_endpoint organization
adapter_path lora_path lora_local_path model_path tokenizer_path
custom_logit_processor logits_processors logit_processors logits_processor logit_processor
stopping_criteria prefix_allowed_tokens_fn trust_remote_code hf_overrides code_revision
mcp_servers tool_server tool_servers webhook webhooks callback callbacks success_callback failure_callback
model_override engine_id engine
region_name region_name_override inference_geo inference_region model_alias_map custom_prompt_dict hf_model_name
base_model model_group router_model_id deployment azure_deployment specific_deployment max_fallbacks gateway byok
client async_client http_client shared_session client_id client_secret azure_username azure_scope tenant_id
hidden_params ssl_certificate cert ca_bundle prompt_id prompt_version prompt_label prompt_variables
"""

# State that calls of several tenants would share: allowed only for a target that serves one tenant.
_SHARED_STATE: Final = """
tenant tenant_key namespace organization_id org_id workspace_id account_id project_id
cache_prompt id_slot slot_id slot slots n_cache_reuse n_keep n_discard session_params session session_id_params
conversation_params
kv_transfer_params ec_transfer_params disaggregated_params kv_cache_retention_config encoded_opaque_state
bootstrap_host bootstrap_port bootstrap_room bootstrap_pair_key disagg_prefill_dp_rank
do_remote_decode do_remote_prefill remote_block_ids remote_engine_id transfer_id pd_role decode_addr prefill_addr
multi_modal_data multi_modal_uuids mm_data mm_kwargs mm_hashes mm_uuids multimodal_config image_data audio_data
video_data
steering steering_vectors control_vectors activations soft_prompt
prompt_embeds input_embeds image_embeds audio_embeds multimodal_embeddings mm_embeddings keep_alive
"""

# All other controls.
_ENGINE: Final = """
priority request_id rid conversation_rid request_priority scheduling_params agent_hierarchy agent_hints
priority_class qos arrival_time trace_headers x_request_id x_correlation_id trace_id scheduling deadline slo ttft_slo
max_time max_generation_time timeout request_timeout routing_key routing_strategy
data_parallel_rank x_data_parallel_rank routed_dp_rank dp_rank data_parallel_size tp_size pp_size decode_worker_id
prefill_worker_id backend_instance_id target_worker
n_predict num_predict max_new_tokens max_gen_len max_tokens_to_sample max_output_tokens max_length
n_cmpl backend
best_of use_beam_search num_beams beam_width beam_width_array num_return_sequences n_best
beam_search_params ignore_eos ignore_eos_token ban_eos_token min_tokens min_new_tokens min_length stop_token_ids
stop_regex end_id pad_id eos_token_id
truncate_prompt_tokens truncate truncation_side prompt_ignore_length max_input_tokens num_ctx
prompt_logprobs echo logprob_start_len token_ids_logprob top_logprobs_num n_probs post_sampling_probs min_keep
return_token_ids return_tokens_as_token_ids return_tokens return_hidden_states return_routed_experts return_meta_info
return_prompt_token_ids return_prompt_text return_logprob return_context_logits return_generation_logits
return_perf_metrics return_encoder_output return_progress return_cached_tokens_details return_full_text return_entropy
return_bytes return_token_offsets routed_experts_prompt_start output_kind logprobs_mode detokenize
output_hidden_states output_attentions hidden_states decoder_input_details top_n_tokens include_prompt
timings_per_token response_fields
chat_template chat_format chat_template_name chat_template_path jinja tokenizer tokenizer_mode tool_parser
tools_parser
add_generation_prompt continue_final_message add_special_tokens add_bos add_bos_token tool_prompt tool_call_parser
reasoning_parser template raw system_prompt
prompt_token_ids input_ids token_ids token_data use_raw_prompt formatter
mm_processor_kwargs media_io_kwargs image_max_dynamic_patch video_max_dynamic_patch max_dynamic_patch images_kwargs
guided_decoding_backend guided_backend guided_whitespace_pattern guided_regex guided_grammar structural_tag regex ebnf
grammar
grammar_lazy grammar_triggers preserved_tokens structured_outputs_config disable_fallback
vllm_xargs extra_args custom_params custom_labels nvext sglext options parameters sampling_params engine_params
bypass bypass_cache bypass_scheduler no_logs no_log disable_log background watermark
samplers sampler_seq lookahead_config speculative_config speculative spec_decode num_speculative_tokens
t_max_predict_ms t_max_prompt_ms backend_sampling dynatemp_range mirostat mirostat_tau mirostat_eta
kwargs model_kwargs generation_kwargs generation_config engine_options engine_args server_args vllm_options
extra_params
device device_map dtype quantization load_format revision weights_path download_dir max_prefill_tokens
n_ctx ctx_size n_batch n_ubatch n_gpu_layers n_threads cache_type_k cache_type_v rope_freq_base rope_freq_scale
rope_scaling
draft n_draft draft_model spec_token spec_tokens
num_gpu num_thread num_batch num_keep main_gpu use_mmap use_mlock low_vram numa
enable_response_messages previous_input_messages stream_interval stream_include_usage force_reasoning
num_retries max_retries stream_timeout drop_params allowed_openai_params cooldown_time caching cache
no_cache rpm tpm provider route transforms plugins preset route_preferences
call_type turn_off_message_logging modify_params additional_drop_params force_timeout priority_level
max_parallel_requests pre_call_rules post_call_rules use_in_pass_through attn_backend max_model_len
mm_encoder_only raw_request debug betas anthropic_beta anthropic_version performance_config speed
additional_model_request_fields additional_model_response_field_paths inference_config request_metadata
"""

_PREFIXES: Final = (
    "lora",
    "bypass",
    "kv",
    "oaicompat",
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
# Who pays, with which credentials, and how much.
_ACCESS = (
    "apikey", "apibase", "accesskey", "secret", "password", "credential", "privatekey", "costper", "pertoken",
)  # fmt: skip
_ACCESS_PREFIXES = (
    "aws", "azure", "vertexai", "vertexproject", "vertexlocation", "langfuse", "langsmith", "arize", "posthog", "s3",
    "gcs",
)  # fmt: skip
_KNOWN_CACHE_NAMES = ("promptcachekey", "promptcacheretention", "promptcacheoptions", "cachecontrol")
# An address or a place in a file system, at the end of a name.
_PLACES = tuple(  # in folded form
    folded(
        """host path directory uri url endpoint addr address
        hosts paths directories uris urls endpoints addrs addresses"""
    )
)
# Only where a word of the name begins with these: other words end in them (report, nadir).
_SHORT_PLACE = re.compile(
    r"(?:(?:^|[^A-Za-z0-9])(?i:port|dir)(?i:s?)|[A-Za-z0-9](?:Port|Dir)s?|[a-z0-9](?:PORT|DIR)S?)[^A-Za-z0-9]*$"
)
_MEDIUM = re.compile(
    r"(?:input|output)?(?:image|img|video|audio|file|media|document|pdf|attachment|frame|picture|photo)s?"
    r"(?:url|uri|data|pil|file|path|source|bytes|b64|input)?s?"
)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")


NEVER: Final = folded(_NEVER)
SHARED_STATE: Final = folded(_SHARED_STATE)
ENGINE: Final = folded(_ENGINE)
ALL_CONTROLS: Final = NEVER | SHARED_STATE | ENGINE


def is_control(name: str) -> bool:
    """Whether a field of this name steers an engine. Names with a leading underscore are internal to some engines."""
    return _is_control(name) if len(name) <= LONGEST_NAME else name.startswith("_")


@lru_cache(maxsize=4096)
def _is_control(name: str) -> bool:
    compared = fold(name)
    return (
        compared in ALL_CONTROLS
        or compared.startswith(_PREFIXES)
        or name.startswith("_")
        or "adapter" in compared
        or "salt" in compared
        or "guardrail" in compared
        or "callback" in compared
        or _is_a_proxy(compared)
        or carries_access(name)
        or _is_of_a_cache(compared)
        or (is_a_place(name, compared) and not names_medium(compared))
    )


def names_medium(compared: str) -> bool:
    """Whether a folded name is that of a picture, sound or file, whose address has rules of its own
    (`gateway/proxy/media.py`)."""
    return _MEDIUM.fullmatch(compared) is not None


def can_never_be_allowed(name: str) -> bool:
    """Whether no operator can let clients send this field."""
    compared = fold(name)
    return compared in NEVER or "salt" in compared or _is_a_proxy(compared) or carries_access(name)


def carries_access(name: str) -> bool:
    """Whether a field of this name sets whose credentials a call uses, or what it is said to cost."""
    compared = fold(name)
    return compared.startswith(_ACCESS_PREFIXES) or any(one in compared for one in _ACCESS)


def _is_a_proxy(compared: str) -> bool:
    return "proxy" in compared or "proxies" in compared


def is_a_place(name: str, compared: str) -> bool:
    """Whether a name, given as it is and in folded form, ends in an address or a place in a file system."""
    return compared.endswith(_PLACES) or _SHORT_PLACE.search(name) is not None


def _is_of_a_cache(compared: str) -> bool:
    return ("cache" in compared or "caching" in compared) and compared not in _KNOWN_CACHE_NAMES


def may_be_allowed(name: str, *, serves_one_tenant: bool) -> bool:
    """Whether an operator may let clients send a field to a target."""
    compared = fold(name)
    if can_never_be_allowed(name) or not _NAME.fullmatch(name) or not is_control(name):
        return False
    is_shared = (
        compared in SHARED_STATE
        or compared.startswith(("kv", "disagg", "bootstrap"))
        or _is_of_a_cache(compared)
    )
    return serves_one_tenant or not is_shared

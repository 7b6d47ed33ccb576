"""What becomes of each field of a Messages call.

Fields that are in none of these tables are refused by name, and so is any other value of the fields in IDLE.
"""

from typing import Any, Final

# Understood at every backend. `model` is replaced; the others pass to a Messages backend as the client sent them.
READ: Final = frozenset((
    "model", "messages", "system", "max_tokens", "stop_sequences", "stream", "temperature", "top_p", "top_k",
    "thinking", "output_config", "tools", "tool_choice", "metadata", "service_tier", "cache_control",
))  # fmt: skip
# Passed to a Messages backend as well: it edits the prompt of this call, and what it counts is billed.
ONLY_ANTHROPIC: Final = frozenset(("context_management",))
# Refused but for these values, which ask for nothing; null asks for nothing in any field. The first is the default.
IDLE: Final[dict[str, tuple[Any, ...]]] = {
    # Another price.
    "speed": ("standard",),
    # Servers, files, machines and conversations of our account, which all tenants share.
    "container": (),
    "mcp_servers": ([],),
    "thread": (),
    "diagnostics": (),
    "user_profile_id": (),
    "workspace_id": (),
    # Where a call is processed is the route's decision.
    "inference_geo": (),
    # Which model answers, too.
    "fallbacks": ([],),
}
# What a backend of OpenAI's dialect does not get, because it changes no answer there.
OMITTED: Final[dict[str, str]] = {
    "cache_control": "such backends cache by themselves; at any depth",
    "signature": "of thoughts: only Anthropic reads it; redacted thoughts likewise",
    "is_error": "of a tool's result: its words say so",
    "eager_input_streaming": "of a tool: how its input comes, not what",
    "input_examples": "of a tool: its description and schema remain",
    "citations": "settings of documents: no citations come back",
    "clear_thinking_20251015": "of `context_management`: earlier thoughts are not sent anyway",
}
# Tools that a client carries out. Those of servers are not metered yet, so they are refused by name.
TOOLS_OF_CLIENTS: Final = ("bash_", "text_editor_", "memory_", "computer_", "browser_")
# It finds tools of the call itself, and costs nothing but its tokens.
FREE_TOOLS: Final = ("tool_search_tool_",)

"""`/v1/rerank`: documents in the order in which they answer a query, as Cohere, Jina, vLLM and LiteLLM serve it.

Counted in searches if the answer says how many it billed (`meta.billed_units.search_units`), else in the tokens of its
`usage`, else as one search per hundred documents, which is an estimate.
"""

from collections.abc import Mapping

from gateway.proxy.answer_errors import FailedAnswer
from gateway.proxy.apis.answers import answer_of
from gateway.proxy.apis.counting import checked
from gateway.proxy.apis.reading import begun, text, tokens_of, whole_number
from gateway.proxy.body import Body
from gateway.proxy.dialects.common import Identity
from gateway.proxy.errors import bad_request
from gateway.proxy.names import Names
from gateway.proxy.parsed_requests import ParsedRequest
from gateway.proxy.unit_requests import as_units
from gateway.proxy.usage import tier_in
from gateway.proxy.whole_answers import PlainAnswer

MOST_DOCUMENTS = 10_000
_DOCUMENTS_OF_A_SEARCH = 100


def read(raw: bytes, headers: Mapping[str, str]) -> ParsedRequest:
    """A call to rerank. Raises Refusal (400)."""
    body = Body(raw)
    parsed = begun(body, "rerank")
    query = text(body, "query")
    documents = body.items_of("documents") or []
    if not documents or not all(memoryview(one)[0] in b'"{' for one in documents):
        raise bad_request(
            "`documents` must be a list of texts or objects that is not empty.", param="documents"
        )
    if len(documents) > MOST_DOCUMENTS:
        raise bad_request(f"`documents` may have at most {MOST_DOCUMENTS:,} items.", param="documents")
    whole_number(body, "top_n", MOST_DOCUMENTS)
    parsed.inputs = parsed.most_units = len(documents)
    # A model reads the query beside each document.
    parsed.largest_input = len(query.encode()) * len(documents) + body.size_of("documents")
    parsed.own_usage = {"search": -(-len(documents) // _DOCUMENTS_OF_A_SEARCH)}
    parsed.possible_usage = (parsed.own_usage, {"input": tokens_of(parsed.largest_input)})
    return parsed


def read_answer(parsed: ParsedRequest, names: Names, content: bytes, identity: Identity) -> PlainAnswer:
    """A whole answer. Raises FailedAnswer for an error, or without results.

    Args:
        parsed: the call.
        names: of the backend.
        content: the answer as it came.
        identity: not used.
    """
    content, whole, told = checked(content, as_units(parsed))
    results = whole.get("results") or whole.get("data")
    if not isinstance(results, list) or not results:
        raise FailedAnswer(502, reason="no results")
    return answer_of(content, told, tier=tier_in(whole))

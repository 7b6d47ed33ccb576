"""Whether a call may bring more than its text is found with few searches, as by searching for each name."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.parsed_requests import brings_more

NAMES = (
    b'image_url"', b'"image', b'input_audio"', b'audio_url"', b'"file', b"video", b'"web_search', b'"plugins"',
    b'"search_parameters"', b'"prediction"', b'"data_sources"', b'"mcp', b'"documents"', b'"previous_response_id"',
)  # fmt: skip
PARTS = st.sampled_from([
    *NAMES, *(name.strip(b'"') for name in NAMES), b'"', b"_url", b"_audio", b" ", b"x", b":", b"my_", b"s", b"Image",
])  # fmt: skip


class Outline:
    def __init__(self, outline):
        self.outline = outline


@given(st.lists(PARTS, max_size=5).map(b"".join))
def test_few_searches_find_what_one_for_each_name_finds(outline):
    assert brings_more(Outline(outline)) == any(name in outline for name in NAMES)


def test_each_name_is_found():
    for name in NAMES:
        assert brings_more(Outline(b'{"messages":[{"a' + name + b'b"}]}'))
    assert not brings_more(
        Outline(b'{"model":"m","messages":[{"role":"user","content":"an image in a file"}]}')
    )

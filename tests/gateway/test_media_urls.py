"""An engine fetches what a URL names, from inside of our network: only allowed hosts, and nothing of its own."""

import json

import pytest

from gateway.proxy.body import Body
from gateway.proxy.errors import Refusal
from gateway.proxy.media import check_media, is_allowed_host
from tests.gateway.proxy_fixtures import MODEL, VECTORS, ask

HOSTS = frozenset({"pictures.example.com", "*.cdn.example.org", "8.8.8.8", "10.0.0.5", "localhost"})
PNG = "data:image/png;base64,iVBORw0KGgo="


def check(part, hosts=HOSTS, **body):
    body = body or {"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]}
    check_media(Body(json.dumps(body).encode()), hosts)


def picture(url):
    return {"type": "image_url", "image_url": {"url": url}}


@pytest.mark.parametrize(
    "url",
    [
        PNG, "DATA:image/png;base64,iVBORw0KGgo=", "data:text/plain,hello", "https://pictures.example.com/a.png",
        "http://pictures.example.com/a b.png".replace(" ", "%20"), "HTTPS://Pictures.Example.COM:443/a?b=c#d",
        "https://a.cdn.example.org/x", "https://a.b.cdn.example.org", "https://pictures.example.com./x",
        "https://8.8.8.8/x.png", "https://pictures.example.com/@10.0.0.1/",
    ],
)  # fmt: skip
def test_data_and_allowed_hosts_pass(url):
    check(picture(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png", "http://127.1/x", "http://2130706433/x", "http://0177.0.0.1/x", "http://0x7f000001/x",
        "http://0x7f.1/", "http://[::1]/x", "http://[::ffff:127.0.0.1]/x", "http://[fe80::1%25eth0]/", "http://0/",
        "http://169.254.169.254/latest/meta-data", "http://10.0.0.5/x", "http://localhost/x", "http://192.168.1.1:8080/x",
        "https://elsewhere.example.net/x", "https://cdn.example.org/x", "https://evilcdn.example.org/",
        "file:///etc/passwd", "ftp://pictures.example.com/x", "gopher://pictures.example.com/", "FILE:///etc/passwd",
        "https://pictures.example.com@10.0.0.1/x", "https://user:pw@pictures.example.com/x",
        "https://pictures.example.com:8080/x", "https://pictures.example.com:22/", "https://pictures.example.com\\@10.0.0.1/",
        "https://pictures.example.com#@10.0.0.1/", "https://pictures.example.com?@10.0.0.1/",
        "https://10.0.0.1/?pictures.example.com", "//pictures.example.com/x", "/etc/passwd", "/srv/a.png", "a.png",
        " https://pictures.example.com/x", "https://pictures.example.com/x\n", "ht\ttps://10.0.0.1/", "\x00http://10.0.0.1/",
        "https://pictures.example.com\u3002evil.net/", "https://pictur\u0435s.example.com/x", "https://pictures.example.com%2eevil.net/",
        "jar:http://10.0.0.1!/x", "s3://bucket/x", "javascript:alert(1)", "http:10.0.0.1/x", "http:/10.0.0.1/x",
        "https://1.1.1.1.xip.example/", "blob:https://pictures.example.com/x", "unix:///run/docker.sock",
    ],
)  # fmt: skip
def test_everything_else_is_refused_by_name(url):
    with pytest.raises(Refusal) as refused:
        check(picture(url))
    assert (refused.value.status, refused.value.code) == (400, "media_url_not_allowed")
    assert refused.value.param == "messages[0].content[1].image_url.url"


BAD = "http://169.254.169.254/x"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": BAD},
        {"type": "input_image", "image_url": BAD},
        {"type": "video_url", "video_url": {"url": BAD}},
        {"type": "audio_url", "audio_url": {"url": BAD}},
        {"type": "input_audio", "input_audio": {"data": BAD, "format": "wav"}},
        {"type": "file", "file": {"file_data": BAD, "filename": "a.pdf"}},
        {"type": "input_file", "file_url": BAD},
        {"type": "image", "image": BAD},
        {"type": "image", "source": {"type": "url", "url": BAD}},
        {"type": "document", "source": {"type": "url", "url": BAD}},
        {"type": "video", "video": [PNG, BAD]},
        {"type": "image_url", "image_url": [{"url": PNG}, {"url": BAD}]},
        {"image_url": {"url": BAD}},
        {"type": "image_url", "imageUrl": {"URL": BAD}},
        {"type": "text", "text": "x", "image_url": {"url": BAD}},
        {"type": "tool_result", "content": [{"type": "image_url", "image_url": {"url": BAD}}]},
        {"type": "image_url", "image_url": {"url": PNG, "nested": {"deeper": [{"url": BAD}]}}},
        {"type": "frobnicated_image", "whatever": BAD},
        {"type": "video", "video": ["etc/passwd"]},
        {"type": "input_audio", "input_audio": {"data": "models/jfs", "format": "wav"}},
    ],
)
def test_every_form_of_a_part_is_looked_at(part):
    with pytest.raises(Refusal) as refused:
        check(part)
    assert refused.value.code == "media_url_not_allowed"


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"image": BAD}]},
        {"input": [{"type": "image_url", "image_url": {"url": BAD}}]},
        {"input": "x", "image_data": [{"data": BAD, "id": 1}]},
        {"messages": [{"role": "tool", "content": [picture(BAD)]}]},
        {"messages": [{"role": "user", "content": "x", "images": [BAD]}]},
        {"messages": [{"role": "user", "content": picture(BAD)}]},
        {"messages": [], "video": BAD},
        {"messages": [], "documents": [{"title": "a", "image": BAD}]},
        {
            "messages": [],
            "prediction": {"type": "content", "content": [{"type": "image_url", "image_url": {"url": BAD}}]},
        },
    ],
)
def test_every_place_of_a_body_is_looked_at(body):
    with pytest.raises(Refusal) as refused:
        check(None, **body)
    assert refused.value.code == "media_url_not_allowed"


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "file-abc"}},
        {"type": "input_file", "file_id": "file-abc"},
        {"type": "image_file", "image_file": {"file_id": "file-abc"}},
        {"type": "image_url", "image_url": None, "uuid": "sku-1"},
        {"type": "image_embeds", "image_embeds": "AAAA"},
        {"type": "audio_embeds", "audio_embeds": {"a": "AAAA"}},
    ],
)
def test_what_a_server_keeps_is_refused_by_name(part):
    with pytest.raises(Refusal) as refused:
        check(part)
    assert (refused.value.status, refused.value.code) == (400, "unsupported_parameter")


def test_a_sound_of_an_earlier_answer_and_a_tool_elsewhere_are_refused():
    with pytest.raises(Refusal, match=r"messages\[0\].audio.id"):
        check(None, messages=[{"role": "assistant", "audio": {"id": "audio_abc"}}])
    with pytest.raises(Refusal, match="server_url"):
        check(None, messages=[], tools=[{"type": "mcp", "server_url": "http://10.0.0.1/"}])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": "see http://10.0.0.1/ and file:///etc/passwd"},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": "//uQxAAA", "format": "mp3"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQSkZJRg=="},
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "Dear sir: hello."},
        },
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a: b.pdf"},
        },
        {"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}},
    ],
)
def test_harmless_parts_pass(part):
    check(part, hosts=frozenset())


def test_what_a_model_wrote_and_tools_describe_passes():
    check(
        None,
        hosts=frozenset(),
        messages=[
            {
                "role": "assistant",
                "content": "x",
                "annotations": [{"type": "url_citation", "url_citation": {"url": "https://news.example/"}}],
                "tool_calls": [{"function": {"name": "f", "arguments": '{"image_url": "http://10.0.0.1"}'}}],
            },
            {"role": "user", "content": 'my JSON: {"image_url": {"url": "http://10.0.0.1"}}'},
        ],
        tools=[
            {"type": "function", "function": {"name": "f", "parameters": {"image_url": {"type": "string"}}}}
        ],
        response_format={"type": "json_schema", "json_schema": {"schema": {"image_url": {"const": "x"}}}},
        audio={"voice": "alloy", "format": "wav"},
    )


def test_repeating_or_escaping_a_name_hides_nothing():
    def refused(text):
        with pytest.raises(Refusal) as refusal:
            check_media(Body(text.encode()), HOSTS)
        return refusal.value.code

    part = '{"type":"image_url","image_url":{"url":"%s"}}'
    head = '{"messages":[{"role":"user","content":['
    assert (
        refused(head + r'{"type":"x","\u0069mage_url":{"url":"http://10.0.0.1"}}]}]}')
        == "media_url_not_allowed"
    )
    assert (
        refused(head + r'{"image_\u0075rl":{"\u0075rl":"http:\/\/10.0.0.1"}}]}]}') == "media_url_not_allowed"
    )
    twice = '{"type":"image_url","image_url":{"url":"http://10.0.0.1","url":"' + PNG + '"}}]}]}'
    assert refused(head + twice) == "repeated_field"
    whole = '{"messages":[{"role":"user","content":[' + part % "http://10.0.0.1" + ']}],"messages":[]}'
    assert refused(whole) == "repeated_field"


def test_hosts_are_matched_whole():
    assert is_allowed_host("A.CDN.example.org", HOSTS)
    assert not is_allowed_host("xcdn.example.org", HOSTS)
    assert not is_allowed_host("10.0.0.5", HOSTS), "a private address, even if somebody wrote it there"
    assert not is_allowed_host("org", frozenset({"*.org"}))


def test_through_the_gateway_a_bad_url_reaches_no_engine(shared_rig):
    client = shared_rig.client()
    before = shared_rig.engine.seen()["calls"]
    with pytest.raises(Exception, match="data:") as refused:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": [picture(BAD)]}])
    assert refused.value.code == "media_url_not_allowed"
    with pytest.raises(Exception, match="data:"):
        client.embeddings.create(model=VECTORS, input=["x"], extra_body={"image": BAD})
    assert shared_rig.engine.seen()["calls"] == before
    ask(client)

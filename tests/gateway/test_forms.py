"""A form is read strictly: whatever two readers could read differently is refused, and what passes is unchanged."""

from io import BytesIO

import pytest
import requests
from django.conf import settings
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http.multipartparser import MultiPartParser
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.apis.form import MOST_PARTS, Form
from gateway.proxy.errors import Refusal

TYPE = "multipart/form-data; boundary=b1"
MODEL = b'--b1\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
FILE = (
    b'--b1\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    b"\x00\r\n\xff\r\n"
)
END = b"--b1--\r\n"
WHOLE = MODEL + FILE + END


def read_by_django(raw, content_type):
    """The fields and files that another reader sees."""
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(raw))}
    handler = MemoryFileUploadHandler()
    handler.activated = True
    fields, files = MultiPartParser(meta, BytesIO(raw), [handler], settings.DEFAULT_CHARSET).parse()
    found = {
        name: [value.encode(errors="surrogateescape") for value in values] for name, values in fields.lists()
    }
    for name, values in files.lists():
        found.setdefault(name, []).extend(value.read() for value in values)
    return found


def test_the_fields_of_a_form():
    form = Form(WHOLE, TYPE)
    assert (form.names(), form.simple("model")) == (["model", "file"], "whisper")
    assert (form.has_file("file"), form.raw_of("file")) == (True, b"\x00\r\n\xff")
    assert not form.has_file("model")
    assert form.simple("absent") is None


def test_only_what_must_change_is_changed():
    form = Form(WHOLE, TYPE)
    assert form.encode() == WHOLE
    assert form.encode({"model": "own"}) == WHOLE.replace(b"whisper", b"own")
    assert form.encode({"model": None, "new": "1"}) == (
        FILE + b'--b1\r\nContent-Disposition: form-data; name="new"\r\n\r\n1\r\n' + END
    )
    form.replace("model", "named")
    assert Form(form.encode(), TYPE).simple("model") == "named"


def test_the_form_of_a_usual_client_is_read():
    request = requests.Request(
        "POST",
        "http://x",
        data={"model": "whisper", "language": "de", "include[]": ["logprobs", "x"]},
        files={"file": ("Übung.wav", b"RIFF....", "audio/wav")},
    ).prepare()
    form = Form(request.body, request.headers["content-type"])
    assert form.simple("language") == "de"
    assert form.raw_of("file") == b"RIFF...."
    assert form.names().count("include[]") == 2


@pytest.mark.parametrize(
    "content_type",
    [
        "", "application/json", "multipart/form-data", "multipart/mixed; boundary=b1", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=b1; boundary=b2", "multipart/form-data; charset=utf-8; boundary=b1",
        'multipart/form-data; boundary="b1', "multipart/form-data; boundary*=b1",
        f"multipart/form-data; boundary={'b' * 71}", "multipart/form-data; boundary=b\r\n1",
    ],
)  # fmt: skip
def test_a_type_that_readers_read_differently_is_refused(content_type):
    with pytest.raises(Refusal) as refused:
        Form(WHOLE, content_type)
    assert (refused.value.status, refused.value.code) == (400, "invalid_form")


def part(head, content=b"x"):
    return b"--b1\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


NAMED = b'Content-Disposition: form-data; name="model"'


@pytest.mark.parametrize(
    "raw",
    {
        "nothing": b"",
        "no end": MODEL + FILE,
        "only an end": END,
        "a preamble": b"hidden\r\n" + WHOLE,
        "an epilogue": WHOLE + b"--b1\r\n",
        "more after the end": WHOLE + MODEL + END,
        "line feeds alone": WHOLE.replace(b"\r\n", b"\n"),
        "a line feed before a boundary": MODEL.replace(b"whisper\r\n", b"whisper\n") + FILE + END,
        "a boundary inside of a value": part(NAMED, b"a--b1b") + END,
        "a longer boundary": MODEL.replace(b"--b1", b"--b1x") + END,
        "white space after a boundary": WHOLE.replace(b"--b1\r\n", b"--b1 \r\n"),
        "no headers": b"--b1\r\n\r\nx\r\n" + END,
        "no disposition": part(b"Content-Type: text/plain") + END,
        "two dispositions": part(NAMED + b'\r\nContent-Disposition: form-data; name="file"') + END,
        "a disposition in another case": part(NAMED + b'\r\ncontent-disposition: form-data; name="x"') + END,
        "two names": part(b'Content-Disposition: form-data; name="a"; name="model"') + END,
        "a name without quotes": part(b"Content-Disposition: form-data; name=model") + END,
        "an encoded name": part(b"Content-Disposition: form-data; name*=utf-8''model") + END,
        "an escaped name": part(rb'Content-Disposition: form-data; name="mo\del"') + END,
        "no name": part(b"Content-Disposition: form-data") + END,
        "an attachment": part(b'Content-Disposition: attachment; name="model"') + END,
        "a folded header": part(b'Content-Disposition: form-data;\r\n name="model"') + END,
        "a header without a colon": part(NAMED + b"\r\nsurprise") + END,
        "a NUL in a header": part(NAMED + b"\r\nContent-Type: a\0b") + END,
        "another header": part(NAMED + b"\r\nX-Anything: 1") + END,
        "an encoded part": part(NAMED + b"\r\nContent-Transfer-Encoding: base64") + END,
        "parts in a part": part(NAMED + b"\r\nContent-Type: multipart/mixed; boundary=c") + END,
        "a head without an end": b"--b1\r\n" + NAMED + b"\r\n" + END,
        "a long head": part(NAMED + b"\r\nContent-Type: " + b"a" * 3000) + END,
        "too many parts": b"".join(part(NAMED.replace(b"model", b"a%d" % n)) for n in range(MOST_PARTS + 1)) + END,
    }.items(),
    ids=lambda case: case[0],
)  # fmt: skip
def test_a_form_that_readers_read_differently_is_refused(raw):
    with pytest.raises(Refusal) as refused:
        Form(raw[1], TYPE)
    assert (refused.value.status, refused.value.code) == (400, "invalid_form")


@pytest.mark.parametrize("again", [MODEL, MODEL.replace(b'"model"', b'"Model"')])
def test_a_field_is_there_once(again):
    with pytest.raises(Refusal) as refused:
        Form(MODEL + again + END, TYPE)
    assert refused.value.code == "repeated_field"


def test_a_field_is_spelled_exactly():
    with pytest.raises(Refusal) as refused:
        Form(MODEL.replace(b'"model"', b'"MODEL"') + END, TYPE).simple("model")
    assert refused.value.code == "misspelled_field"


def test_a_long_field_that_is_no_file_is_refused():
    with pytest.raises(Refusal) as refused:
        Form(part(NAMED, b"x" * (256 * 1024 + 1)) + END, TYPE)
    assert refused.value.code == "field_too_large"


def test_a_value_with_the_boundary_in_it_is_never_written():
    with pytest.raises(Refusal):
        Form(WHOLE, TYPE).encode({"model": "a\r\n--b1--"})


_PIECES = st.sampled_from(
    [
        b"--b1", b"--", b"\r\n", b"\n", b"\r", b"\r\n\r\n", MODEL, FILE, END, b"--b1\r\n", b"--b1--",
        b'Content-Disposition: form-data; name="model"', b'Content-Disposition: form-data; name="file"; filename="x"',
        b'Content-Disposition: form-data; name="n[]"', b"Content-Type: text/plain", b"Content-Type: audio/wav", b"abc",
        b"\x00\xff", b" ", b'"', b";",
    ]
)  # fmt: skip


_FORMS = st.lists(st.sampled_from([MODEL, FILE, part(NAMED)]), max_size=3).map(
    lambda parts: b"".join([*parts, END])
)


@given(st.lists(_PIECES, max_size=14).map(b"".join) | _FORMS)
def test_another_reader_sees_the_same_fields_in_every_form_that_passes(raw):
    try:
        form = Form(raw, TYPE)
    except Refusal:
        return
    seen = {}
    for one in form._parts:
        seen.setdefault(one.name, []).append(raw[one.start : one.end])
    assert read_by_django(raw, TYPE) == seen
    again = form.encode({"model": "own"})
    assert read_by_django(again, TYPE) == {**seen, "model": [b"own"]}

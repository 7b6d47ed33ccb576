"""A provider is tested with the exact fault in words, over real HTTP and TLS, and never with the credential in them."""

from __future__ import annotations

import itertools
import socket
import threading
import time

import pytest

from core.egress import EgressRefused, Networks, read_networks
from deployments.providers import listing
from deployments.providers.asking import Upstream
from deployments.providers.faults import ProviderFault, scrubbed
from deployments.providers.listing import try_provider
from tests.deployments.provider_stub import (
    GOOD_KEY,
    MODELS,
    WRONG_KEY,
    Authority,
    drip,
    saying,
    serving,
    silence,
)
from tests.patience import overload

LOOPBACK = read_networks(["127.0.0.0/8"])


@pytest.fixture
def stub():
    with serving() as stub:
        yield stub


@pytest.fixture(scope="module")
def authority():
    return Authority()


def attempt(url, key=GOOD_KEY, *, dialect="openai", networks=LOOPBACK, resolve=None, **more):
    quick = {"connect_timeout_seconds": 2, "first_byte_timeout_seconds": 1, "idle_timeout_seconds": 1}
    return try_provider(Upstream(url, dialect, key, **quick | more), networks, resolve=resolve)


def fault_of(*args, **more):
    with pytest.raises(ProviderFault) as raised:
        attempt(*args, **more)
    assert "%(" not in raised.value.message
    for key in (GOOD_KEY, WRONG_KEY):
        assert key[:12] not in raised.value.message
        assert key[-8:] not in raised.value.message
    return raised.value


def test_a_good_key_lists_the_models_and_says_how_long_it_took(stub):
    report = attempt(stub.url, headers={"openai-organization": "org-1"})
    assert [listed.name for listed in report.models] == [model["id"] for model in MODELS]
    assert (report.lists_models, 0 <= report.milliseconds < 2000 * overload()) == (True, True)
    [(path, headers)] = stub.calls
    assert path == "/v1/models"
    assert headers["authorization"] == f"Bearer {GOOD_KEY}"
    assert headers["openai-organization"] == "org-1"
    assert headers["host"] == f"127.0.0.1:{stub.port}"


def test_a_wrong_key_is_a_fault_with_the_providers_words_without_the_key(stub):
    fault = fault_of(stub.url, WRONG_KEY)
    assert fault.code == "credential"
    assert "401" in fault.message
    assert "Incorrect API key provided: …" in fault.message


@pytest.mark.parametrize(
    "said",
    [
        f"bad key {WRONG_KEY}",
        f"bad key {WRONG_KEY[:10]}*****{WRONG_KEY[-4:]}",
        f"bad key stub-********{WRONG_KEY[-4:]}",
        f"key={WRONG_KEY}&x=1",
        "bad key " + WRONG_KEY.replace("-", "%2D"),
        f"your key ends with {WRONG_KEY[-8:]}",
        f"bad {WRONG_KEY[:9]} {WRONG_KEY[9:18]} {WRONG_KEY[18:]}",
        " ".join(WRONG_KEY),
        f"BAD KEY {WRONG_KEY.upper()}",
    ],
)
def test_no_form_of_the_key_comes_through(said):
    line = scrubbed(said, WRONG_KEY)
    for start in range(len(WRONG_KEY) - 7):
        run = WRONG_KEY[start : start + 8].lower()
        assert run not in line.lower().replace(" ", "").replace("%2d", "-")


def test_other_words_stay_readable():
    said = "Rate limit reached for org-1.\nPlease try again in 20s. See https://example.com/limits"
    assert scrubbed(said, WRONG_KEY) == said.replace("\n", " ")
    assert len(scrubbed("word " * 1000, WRONG_KEY)) == 200


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (saying(404, {"error": {"message": "no"}}), "not_found", "Is the base URL right?"),
        (
            saying(302, b"", location="https://elsewhere.example/login?next=1"),
            "redirect",
            "https://elsewhere.example",
        ),
        (saying(307, b"", location="http://169.254.169.254/latest"), "redirect", "not followed"),
        (saying(200, b"<html><title>Sign in</title></html>"), "not_json", "of a web page?"),
        (saying(200, b"[" * 100_000), "not_json", "not in JSON"),
        (saying(200, {"hello": "world"}), "not_a_list", "without a list of models"),
        (saying(200, {"data": {"id": "x"}}), "not_a_list", "without a list of models"),
        (saying(429, {"error": {"message": "quota exceeded"}}), "limited", "quota exceeded"),
        (saying(500, b"<html><title>Oops</title></html>"), "status", "Oops"),
        (saying(403, {"detail": "no access"}), "credential", "403"),
        (saying(200, b" " * (8 * 1024 * 1024 + 2)), "too_long", "8 MB"),
        (silence, "too_slow", "to answer"),
        (drip, "too_slow", "to answer"),
    ],
)
def test_each_fault_says_exactly_what_it_is(stub, answer, code, words):
    stub.answer = answer
    began = time.monotonic()
    fault = fault_of(stub.url)
    assert (fault.code, words in fault.message) == (code, True), fault.message
    assert time.monotonic() - began < 8 * overload()
    assert len(stub.calls) == 1, "nothing is retried, and no redirect is followed"


def test_an_incomplete_base_url_is_told_how_to_complete_it(stub):
    fault = fault_of(stub.url.removesuffix("/v1"))
    assert (fault.code, f"Try {stub.url}" in fault.message) == ("not_found", True)


def test_nothing_listens_and_names_that_are_not_known(stub):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert fault_of(f"http://127.0.0.1:{port}/v1").code == "refused"

    def unknown(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    fault = fault_of("https://typo.example/v1", resolve=unknown)
    assert (fault.code, "typo.example" in fault.message) == ("name_not_found", True)


def test_a_server_that_speaks_no_http(stub):
    stub.answer = lambda request: request.wfile.write(b"220 mail.example ESMTP\r\n")
    assert fault_of(stub.url).code == "not_http"


def test_loopback_is_refused_unless_it_is_allowed(stub):
    with pytest.raises(EgressRefused):
        attempt(stub.url, networks=Networks())
    assert stub.calls == []


def test_tls_is_verified_by_name_authority_and_date(authority, tmp_path):
    name = "provider.example"

    def here(host, port):
        return ["127.0.0.1"]

    with serving(authority.server(tmp_path, name)) as stub:
        url = f"https://{name}:{stub.port}/v1"
        assert len(attempt(url, resolve=here, private_ca=authority.pem).models) == 37
        [(_path, headers)] = stub.calls
        assert headers["host"] == f"{name}:{stub.port}"
        assert fault_of(url, resolve=here).code == "certificate_unknown"
        assert fault_of(url, resolve=here, private_ca=Authority().pem).code == "certificate_unknown"
        other = fault_of(f"https://other.example:{stub.port}/v1", resolve=here, private_ca=authority.pem)
        assert (other.code, "another name" in other.message) == ("certificate_name", True)
        assert len(stub.calls) == 1, "nobody without a valid certificate ever sees the credential"
    with serving(authority.server(tmp_path, name, days=-1)) as stub:
        url = f"https://{name}:{stub.port}/v1"
        assert fault_of(url, resolve=here, private_ca=authority.pem).code == "certificate_expired"
    with serving() as plain:
        assert fault_of(f"https://127.0.0.1:{plain.port}/v1").code == "tls"


def test_a_handshake_that_never_ends_is_too_slow():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        fault = fault_of(f"https://127.0.0.1:{mute.getsockname()[1]}/v1")
    assert fault.code in ("too_slow", "no_answer")


class Tunnel:
    """A proxy that knows CONNECT alone, and sends every tunnel to one port of loopback."""

    def __init__(self, port, status=b"200 OK"):
        self.port, self.status, self.heads = port, status, []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.getsockname()[1]}"

    def _serve(self):
        client, _ = self.server.accept()
        with client, socket.create_connection(("127.0.0.1", self.port)) as inner:
            self.heads.append(client.recv(4096))
            client.sendall(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(inner, client), daemon=True)
            back.start()
            self._copy(client, inner)
            back.join(5)

    def _copy(self, source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_through_a_proxy_tls_is_still_with_the_provider(authority, tmp_path):
    with serving(authority.server(tmp_path, "provider.example")) as stub:
        tunnel = Tunnel(stub.port)
        report = attempt("https://provider.example/v1", proxy_url=tunnel.url, private_ca=authority.pem)
        assert len(report.models) == 37
        assert tunnel.heads[0].startswith(b"CONNECT provider.example:443 HTTP/1.1\r\n")
        assert GOOD_KEY.encode() not in tunnel.heads[0]
        refusing = Tunnel(stub.port, status=b"403 Forbidden")
        fault = fault_of("https://provider.example/v1", proxy_url=refusing.url, private_ca=authority.pem)
        assert "The proxy refuses the connection (it answers 403)" in fault.message
        with pytest.raises(EgressRefused, match="Only https"):
            attempt(stub.url.replace("https", "http"), proxy_url=refusing.url)


def test_each_dialect_authenticates_in_its_own_way(stub):
    stub.answer = saying(
        200, {"data": [{"id": "models/gemini-2.5-pro"}, {"id": "claude-sonnet-4-5", "type": "model"}]}
    )
    attempt(stub.url, dialect="anthropic")
    attempt(stub.url.replace("/v1", "/openai"), dialect="azure", api_version="2025-04-01-preview")
    report = attempt(stub.url, dialect="gemini")
    (one, theirs), (two, azure), (_three, google) = stub.calls
    assert (one, theirs["x-api-key"]) == ("/v1/models?limit=1000", GOOD_KEY)
    assert theirs["anthropic-version"] == "2023-06-01"
    assert (two, azure["api-key"]) == ("/openai/models?api-version=2025-04-01-preview", GOOD_KEY)
    assert google["authorization"] == f"Bearer {GOOD_KEY}"
    assert [listed.name for listed in report.models] == ["gemini-2.5-pro", "claude-sonnet-4-5"]


def test_a_list_of_several_pages_is_read_to_its_end(stub):
    pages = {"": ("a", True), "a": ("b", True), "b": ("c", False)}

    def page(request):
        name, more = pages[request.path.partition("after_id=")[2]]
        request.say(200, {"data": [{"id": name, "type": "model"}], "has_more": more, "last_id": name})

    stub.answer = page
    assert [(one.name, one.mode) for one in attempt(stub.url, dialect="anthropic").models] == [
        ("a", "chat"), ("b", "chat"), ("c", "chat"),
    ]  # fmt: skip


def test_a_list_of_many_slow_pages_is_not_read_to_its_end(stub, monkeypatch):
    """Each page in time, twenty of them would keep a person, or all other providers, waiting for minutes."""
    clock = itertools.count(0, 8)
    monkeypatch.setattr(listing, "monotonic", lambda: next(clock))
    stub.answer = saying(200, {"data": [{"id": "a", "type": "model"}], "has_more": True, "last_id": "a"})
    assert fault_of(stub.url, dialect="anthropic").code == "too_slow"
    assert len(stub.calls) == 3


def test_a_list_that_is_open_to_all_proves_no_key(stub):
    def openrouter(request):
        if request.path == "/v1/key" and request.headers["authorization"] != f"Bearer {GOOD_KEY}":
            request.say(401, {"error": {"message": "No auth credentials found"}})
        else:
            request.say(200, {"data": [{"id": "openai/gpt-4o"}]})

    stub.answer = openrouter
    assert fault_of(stub.url, WRONG_KEY, dialect="openrouter").code == "credential"
    assert len(attempt(stub.url, dialect="openrouter").models) == 1


def test_a_provider_without_a_list_is_reached_all_the_same(stub):
    stub.answer = saying(404, {"detail": "Not Found"})
    assert attempt(stub.url, dialect="openai_compatible").lists_models is False
    assert fault_of(stub.url.removesuffix("/v1"), dialect="openai_compatible").code == "not_found"


def test_a_credential_that_only_gateways_have_is_not_tried(stub):
    report = attempt(stub.url, "", is_credential_elsewhere=True)
    assert report.lists_models is False
    assert "wants a credential" in fault_of(stub.url, "").message


def test_names_that_nobody_could_call_are_left_out(stub):
    names = ["good", "", "two words", "naïve", "tab\there", "x" * 201, 7, None, "a/b:free"]
    stub.answer = saying(200, {"data": [*({"id": name} for name in names), "text", None]})
    assert [listed.name for listed in attempt(stub.url).models] == ["good", "a/b:free"]


def test_a_name_that_repeats_the_key_is_left_out(stub):
    """Names are for everybody who sees the provider."""
    stub.answer = saying(200, {"data": [{"id": "good"}, {"id": GOOD_KEY}, {"id": f"x-{GOOD_KEY.upper()}"}]})
    assert [listed.name for listed in attempt(stub.url).models] == ["good"]


def test_nothing_prints_the_credential(stub):
    upstream = Upstream(stub.url, "openai", GOOD_KEY)
    assert GOOD_KEY not in repr(upstream)
    assert GOOD_KEY not in str(fault_of(stub.url, WRONG_KEY).__dict__)

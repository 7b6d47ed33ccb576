"""Where this installation connects on behalf of a URL: attacks by spelling, by address form and by rebinding."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import contextmanager, suppress
from ipaddress import ip_address

import pytest

from core.egress import (
    EgressRefused,
    Networks,
    check_address,
    connect,
    connect_async,
    connect_through_proxy,
    look_up,
    read_networks,
    read_proxy_url,
    read_url,
)
from tests.name_server import NameServer
from tests.silent_address import silent_address

NONE = Networks()
LOOPBACK = read_networks(["127.0.0.0/8", "::1/128"])


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://api.example.com/v1", "scheme"),
        ("ftp://api.example.com", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.1:6379/_x", "scheme"),
        ("//api.example.com/v1", "scheme"),
        ("https:/api.example.com", "scheme"),
        ("https://ana:secret@api.example.com/v1", "user_info"),
        ("https://api.example.com@127.0.0.1/", "user_info"),
        ("https://@127.0.0.1/", "user_info"),
        ("https://127.0.0.1/v1", "loopback"),
        ("https://127.1.2.3/v1", "loopback"),
        ("https://[::1]/v1", "loopback"),
        ("https://0.0.0.0/", "unspecified"),
        ("https://[::]/", "unspecified"),
        ("https://169.254.169.254/latest/meta-data", "metadata"),
        ("https://[fd00:ec2::254]/", "metadata"),
        ("https://[fd00:ec2::123]/", "metadata"),
        ("https://[fd00:42::42]/", "metadata"),
        ("https://100.100.100.200/", "metadata"),
        ("https://168.63.129.16/", "metadata"),
        ("https://169.254.1.1/", "link_local"),
        ("https://[fe80::1]/", "link_local"),
        ("https://10.0.0.1/", "private"),
        ("https://172.31.255.255/", "private"),
        ("https://192.168.1.1/", "private"),
        ("https://[fd12:3456::1]/", "private"),
        ("https://100.64.0.1/", "shared"),
        ("https://224.0.0.1/", "multicast"),
        ("https://255.255.255.255/", "multicast"),
        ("https://[ff02::1]/", "multicast"),
        ("https://240.0.0.1/", "reserved"),
        ("https://192.0.2.10/", "reserved"),
        ("https://[2001:db8::1]/", "reserved"),
        ("https://[4000::1]/", "reserved"),
        # IPv4 in IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo.
        ("https://[::ffff:127.0.0.1]/", "loopback"),
        ("https://[::ffff:a9fe:a9fe]/", "metadata"),
        ("https://[::ffff:8.8.8.8]/", "embedded"),
        ("https://[::10.0.0.1]/", "private"),
        ("https://[::ffff:0:10.0.0.1]/", "private"),
        ("https://[64:ff9b::169.254.169.254]/", "metadata"),
        ("https://[64:ff9b::8.8.8.8]/", "embedded"),
        ("https://[64:ff9b:1::8.8.8.8]/", "local_nat64"),
        ("https://[2002:7f00:1::]/", "loopback"),
        ("https://[2002:a9fe:a9fe::1]/", "metadata"),
        ("https://[2002:808:808::]/", "embedded"),
        ("https://[2001:0:1234:5678:0:0:80ff:fffe]/", "loopback"),
        # Numbers that some programs read as addresses.
        ("https://2130706433/", "host"),
        ("https://0x7f000001/", "host"),
        ("https://017700000001/", "host"),
        ("https://0x7f.0.0.1/", "host"),
        ("https://0177.0.0.1/", "host"),
        ("https://127.1/", "host"),
        ("https://127.0.0.1./", "host"),
        ("https://example.0x7f/", "host"),
        ("https://a.1/", "host"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://localhost%00.example.com/", "host"),
        ("https://①②⑦.0.0.1/", "url"),
        ("https://127。0。0。1/", "url"),
        ("https://api.example.com\\@127.0.0.1/", "url"),
        ("https://api.example.com\t/", "url"),
        ("https://api.example.com\r\nHost: x/", "url"),
        (" https://api.example.com/", "url"),
        ("https://api.example.com/v1?key=1", "url"),
        ("https://api.example.com/v1#x", "url"),
        ("https://api.example.com/" + "a" * 300, "url"),
        ("https://[::1/", "url"),
        ("https:///v1", "host"),
        ("https://-a.example.com/", "host"),
        ("https://a..example.com/", "host"),
        ("https://api.example.com:22/", "port"),
        ("https://api.example.com:25/", "port"),
        ("https://api.example.com:0/", "port"),
        ("https://api.example.com:65536/", "port"),
        ("https://api.example.com:/", "port"),
        ("https://api.example.com/v1/../admin", "path"),
        ("https://api.example.com/v1/%2e%2e/admin", "path"),
        ("https://api.example.com//v1", "path"),
    ],
)
def test_a_url_that_leads_elsewhere_is_refused(url, code):
    with pytest.raises(EgressRefused) as refused:
        read_url(url, NONE)
    assert refused.value.code == code
    assert "%(" not in refused.value.message


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("https://API.Example.com:443", "https://api.example.com"),
        ("https://api.example.com.:8443/v1", "https://api.example.com:8443/v1"),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1"),
        ("https://[2606:4700::1111]:8443/v1", "https://[2606:4700::1111]:8443/v1"),
        ("https://xn--bcher-kva.example/v1", "https://xn--bcher-kva.example/v1"),
    ],
)
def test_an_ordinary_url_has_one_spelling(url, read):
    assert read_url(url, NONE).url == read


def test_http_is_possible_only_in_an_allowed_network():
    within = read_networks(["10.20.0.0/16"])
    assert read_url("http://10.20.0.5:8000/v1", within).host_header == "10.20.0.5:8000"
    with pytest.raises(EgressRefused, match="http is possible only"):
        read_url("http://8.8.8.8/v1", within)
    vllm = read_url("http://vllm.internal:8000/v1", within)
    assert look_up(vllm, within, resolve=lambda *_: ["10.20.0.5"]) == [ip_address("10.20.0.5")]
    with pytest.raises(EgressRefused, match="http is possible only"):
        look_up(vllm, within, resolve=lambda *_: ["8.8.8.8"])


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fe80::1", "ff02::1"]
)
def test_metadata_and_link_local_stay_closed_whatever_is_allowed(address):
    wide = read_networks(["100.64.0.0/10", "10.0.0.0/8", "fc00::/7"])
    with pytest.raises(EgressRefused, match="No setting allows it"):
        check_address(ip_address(address), wide)


def test_an_embedded_address_needs_both_networks():
    nat64 = read_networks(["64:ff9b::/96"])
    check_address(ip_address("64:ff9b::8.8.8.8"), nat64)
    for inner, code in (("10.0.0.1", "private"), ("169.254.169.254", "metadata"), ("127.0.0.1", "loopback")):
        with pytest.raises(EgressRefused) as refused:
            check_address(ip_address(f"64:ff9b::{inner}"), nat64)
        assert refused.value.code == code
    with pytest.raises(EgressRefused):
        check_address(ip_address("::ffff:10.0.0.1"), read_networks(["10.0.0.0/8"]))


@pytest.mark.parametrize(
    "text",
    ["everything", "0.0.0.0/0", "::/0", "10.0.0.1/8", "2.0.0.0/7", "169.254.0.0/16", "169.254.169.254", "224.0.0.0/8",
     "fe80::/10", "0.0.0.0/8", "fd00:ec2::254", "100.100.100.200/32", "fe80::1%eth0", "10.0.0.0/33"],
)  # fmt: skip
def test_a_network_that_makes_no_sense_is_refused_by_name(text):
    with pytest.raises(EgressRefused) as refused:
        read_networks(["10.0.0.0/8", text])
    assert text in refused.value.message


def test_networks_are_read_once_each_in_order():
    read = read_networks([" fd12:3456::/48", "10.20.0.0/16", "", "10.20.0.0/16", "10.3.0.7"])
    assert [str(network) for network in read.allowed] == ["10.3.0.7/32", "10.20.0.0/16", "fd12:3456::/48"]


@contextmanager
def listening():
    """A TCP server on loopback that counts its callers: (port, callers)."""
    server, callers = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        while True:
            try:
                caller, address = server.accept()
            except OSError:
                return
            callers.append(address)
            caller.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1], callers
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def heard(callers, count):
    """Whether exactly so many callers came, after a moment for the last one to be accepted."""
    until = time.monotonic() + 5
    while len(callers) < count and time.monotonic() < until:
        time.sleep(0.01)
    return len(callers) == count


def test_a_name_that_changes_after_the_check_is_connected_to_as_checked():
    """Loopback is allowed here and stands for the public address; the second answer aims at the metadata service."""
    with listening() as (port, callers), NameServer(["127.0.0.1"], ["169.254.169.254"]) as attacker:
        name = read_url(f"https://rebind.example:{port}/v1", LOOPBACK)
        connect(name, LOOPBACK, timeout_seconds=5, resolve=attacker.resolve).close()
        assert len(attacker.asked) == 1, "a second look-up could answer something else"
        assert heard(callers, 1)
        with pytest.raises(EgressRefused) as refused:
            connect(name, LOOPBACK, timeout_seconds=5, resolve=attacker.resolve)
        assert refused.value.code == "metadata"
        assert len(attacker.asked) == 2
    assert len(callers) == 1


def test_one_inner_address_among_public_ones_refuses_all_and_connects_to_none():
    with listening() as (port, callers):
        name = read_url(f"https://mixed.example:{port}", LOOPBACK)
        for answer in (["127.0.0.1", "169.254.169.254"], ["10.0.0.1", "127.0.0.1"]):
            with pytest.raises(EgressRefused):
                connect(name, LOOPBACK, timeout_seconds=5, resolve=lambda *_, answer=answer: answer)
    assert callers == []


def test_the_system_s_own_resolver_is_asked_and_its_answer_checked():
    with pytest.raises(EgressRefused) as refused:
        connect(read_url("https://localhost:8443", NONE), NONE, timeout_seconds=5)
    assert refused.value.code == "loopback"


def test_the_connection_has_the_last_word(monkeypatch):
    """Whatever stands between (a redirected socket, a resolver of its own): who was reached must be who was checked."""
    with listening() as (port, _):
        monkeypatch.setattr(socket.socket, "getpeername", lambda self: ("10.0.0.1", port))
        with pytest.raises(EgressRefused, match="reached"):
            connect(read_url(f"https://127.0.0.1:{port}", LOOPBACK), LOOPBACK, timeout_seconds=5)


def test_an_address_that_does_not_answer_gives_way_to_the_next():
    with listening() as (port, _callers):
        name = read_url(f"https://two.example:{port}", LOOPBACK)
        sock = connect(name, LOOPBACK, timeout_seconds=5, resolve=lambda *_: ["127.0.0.2", "127.0.0.1"])
        assert sock.getpeername()[0] in ("127.0.0.1", "127.0.0.2")
        sock.close()


def test_a_silent_address_leaves_time_for_the_next():
    with listening() as (port, _callers), silent_address(port) as silent:
        name = read_url(f"https://two.example:{port}", LOOPBACK)
        began = time.monotonic()
        sock = connect(name, LOOPBACK, timeout_seconds=2, resolve=lambda *_: [silent, "127.0.0.1"])
        assert time.monotonic() - began < 1.9
        assert sock.getpeername()[0] == "127.0.0.1"
        sock.close()


def test_the_gateway_s_way_checks_alike():
    async def attack(port, answer, networks):
        asked = []

        async def resolve(host, port):
            asked.append(host)
            return answer

        name = read_url(f"https://rebind.example:{port}", networks)
        sock = await connect_async(name, networks, timeout_seconds=5, resolve=resolve)
        sock.close()
        return len(asked)

    with listening() as (port, callers):
        assert asyncio.run(attack(port, ["127.0.0.1"], LOOPBACK)) == 1
        for answer in (["10.0.0.1"], ["127.0.0.1", "169.254.169.254"], ["::ffff:169.254.169.254"]):
            with pytest.raises(EgressRefused):
                asyncio.run(attack(port, answer, LOOPBACK))
        with pytest.raises(EgressRefused):
            asyncio.run(attack(port, ["127.0.0.1"], NONE))
        assert heard(callers, 1)


def test_a_proxy_is_checked_like_any_other_and_sees_no_http():
    with pytest.raises(EgressRefused, match="no path"):
        read_proxy_url("http://10.0.0.1:3128/x", read_networks(["10.0.0.0/8"]))
    with pytest.raises(EgressRefused, match="begins with http://"):
        read_proxy_url("https://proxy.example.com:3128", NONE)
    with pytest.raises(EgressRefused):
        read_proxy_url("http://10.0.0.1:3128", NONE)
    inner = read_networks(["10.0.0.0/8"])
    plain, proxy = read_url("http://10.0.0.2", inner), read_proxy_url("http://10.0.0.1:3128", inner)
    with pytest.raises(EgressRefused, match="Only https"):
        connect_through_proxy(plain, proxy, inner, timeout_seconds=1)
    provider = read_url("https://api.example.com", inner)
    named = read_proxy_url("http://proxy.example:3128", inner)
    with pytest.raises(EgressRefused, match="metadata"):
        connect_through_proxy(
            provider, named, inner, timeout_seconds=1, resolve=lambda *_: ["169.254.169.254"]
        )


def test_a_proxy_that_answers_letter_by_letter_has_no_more_time_than_another():
    """Each letter would otherwise begin the time-out anew: hours for the 8 kB that an answer may have."""
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip():
            client, _ = server.accept()
            with client, suppress(OSError):
                client.recv(4096)
                while not is_over.wait(0.05):
                    client.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        try:
            proxy = read_proxy_url(f"http://127.0.0.1:{server.getsockname()[1]}", LOOPBACK)
            provider = read_url("https://api.example.com", LOOPBACK)
            with pytest.raises(TimeoutError):
                connect_through_proxy(provider, proxy, LOOPBACK, timeout_seconds=0.5)
        finally:
            is_over.set()
            thread.join()
        assert time.monotonic() - began < 5

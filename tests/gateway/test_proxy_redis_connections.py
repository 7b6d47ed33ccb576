"""How a gateway reaches its Redis: TLS, sockets, users, numbered databases; and what it does not accept."""

import asyncio
import contextlib
import re
import ssl
import subprocess

import hiredis
import pytest

from core.secrets import GATEWAY_TOKEN, new_secret
from gateway.proxy.limits_redis import RedisLimiter
from gateway.proxy.metrics import Metrics
from gateway.proxy.redis_address import Address, place_name, read_url
from gateway.proxy.redis_line import Line, Lost, NotConnected, pack
from gateway.proxy.settings import SettingsError, read_settings
from launcher.ports import free_port
from launcher.running import RunningServer
from launcher.valkey import EmbeddedValkey


def ask_once(url, *words):
    async def work():
        line = Line(*read_url(url))
        try:
            return await line.send(pack(*words))
        finally:
            await line.close()

    return asyncio.run(work())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that no authority has signed, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    files = directory / "server.crt", directory / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=redis"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


@contextlib.asynccontextmanager
async def tls_in_front(url, certificate):
    """The port of a server that speaks TLS and passes everything on."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    target = int(re.search(r":(\d+)/", url)[1])

    async def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()

    async def connect(reader, writer):
        answers, questions = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(copy(reader, questions), copy(answers, writer))

    port = free_port()
    server = await asyncio.start_server(connect, "127.0.0.1", port, ssl=context)
    async with server:
        yield port


def test_a_connection_is_encrypted_and_the_certificate_verified(limits_server, certificate, monkeypatch):
    monkeypatch.setattr("gateway.proxy.redis_line._CONNECT_SECONDS", 5)  # a handshake on a busy machine
    secure = limits_server.url.replace("redis://", "rediss://")

    async def work():
        async with tls_in_front(limits_server.url, certificate) as port:
            url = re.sub(r":\d+/", f":{port}/", secure)
            trusting = Line(*read_url(f"{url}?ssl_ca_certs={certificate[0]}"))
            assert await trusting.send(pack("ECHO", "x" * 100_000)) == b"x" * 100_000
            await trusting.close()
            doubting = Line(*read_url(url))
            with pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED"):
                await doubting.send(pack("PING"))
            elsewhere = Line(
                *read_url(f"{url}?ssl_ca_certs={certificate[0]}".replace("127.0.0.1", "localhost"))
            )
            with pytest.raises(NotConnected, match="CERTIFICATE_VERIFY_FAILED"):
                await elsewhere.send(pack("PING"))

    asyncio.run(work())


def test_users_databases_and_sockets(tmp_path):
    class OnASocket(EmbeddedValkey):
        def prepare(self):
            super().prepare()
            with self._configuration_file().open("a") as file:
                file.write(f"unixsocket {tmp_path}/s\nuser gw on >p%/w +@all ~*\n")

    with (tmp_path / "log").open("wb") as log:
        server = OnASocket(tmp_path / "valkey", port=free_port(), password="main", durable=False)
        running = RunningServer(server, log)
        try:
            as_user = f"redis://gw:p%25%2Fw@127.0.0.1:{server.port}/3"
            assert ask_once(as_user, "ACL", "WHOAMI") == b"gw"
            ask_once(as_user, "SET", "here", "3")
            assert ask_once(f"unix://{tmp_path}/s?db=3&password=main", "GET", "here") == b"3"
            assert ask_once(f"unix://{tmp_path}/s?password=main", "GET", "here") is None
            assert ask_once(f"unix://{tmp_path}/s?username=gw&password=p%25%2Fw", "ACL", "WHOAMI") == b"gw"
            assert ask_once(server.url(3), "GET", "here") == b"3"
            with pytest.raises(NotConnected, match="WRONGPASS"):
                ask_once(as_user.replace("p%25", "q"), "PING")
            with pytest.raises(NotConnected, match="out of range"):
                ask_once(server.url(99), "PING")
            with pytest.raises(hiredis.ReplyError, match="NOAUTH"):
                ask_once(f"redis://127.0.0.1:{server.port}", "PING")
        finally:
            running.stop()


def test_a_connection_that_is_lost_is_opened_again(own_limits_server):
    async def work():
        line = Line(*read_url(own_limits_server.url))
        ping = pack("PING")
        for _ in range(3):
            assert await line.send(ping) == b"PONG"
            own_limits_server.client.client_kill_filter(_type="normal", skipme=True)
            with contextlib.suppress(Lost):
                await line.send(ping)
        assert await line.send(ping) == b"PONG"
        await line.close()

    asyncio.run(work())


def test_something_that_is_no_redis_is_told_by_name():
    async def work():
        async def answer(reader, writer):
            await reader.read(100)
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            line = Line(Address("127.0.0.1", server.sockets[0].getsockname()[1]), read_url("redis://x")[1])
            with pytest.raises(Lost, match="does not speak this protocol"):
                await line.send(pack("PING"))
            await line.close()

    asyncio.run(work())


@pytest.mark.parametrize(
    ("url", "address", "database"),
    [
        ("redis://h", Address("h", 6379), 0),
        ("redis://[::1]:7000/4", Address("::1", 7000), 4),
        ("redis://h:1/0?db=9", Address("h", 1), 9),
        ("unix:///run/redis.sock", Address("/run/redis.sock"), 0),
    ],
)
def test_addresses(url, address, database):
    found, access = read_url(url)
    assert (found, access.database) == (address, database)


def test_an_address_that_a_node_names_without_a_host_is_on_its_own():
    assert Address.read(":7001", Address("10.0.0.1", 7000)) == Address("10.0.0.1", 7001)
    assert Address.read("[fe::2]:7001", Address("10.0.0.1", 7000)) == Address("fe::2", 7001)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://:s3cret@h/0?ssl_cert_reqs=none", "ssl_cert_reqs is not an option here"),
        ("rediss://:s3cret@h?ssl_ca_certs=/nowhere.pem", "a file for TLS cannot be used"),
        ("unix:///s?db=x&password=s3cret", "whole number"),
        ("http://:s3cret@h", "must be redis://"),
        ("redis://:s3cret@h:6379x", "must be redis://"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_at_the_start(url, problem):
    environment = {
        "GATEWAY_ID": "gw",
        "GATEWAY_TOKEN": new_secret(GATEWAY_TOKEN),
        "GATEWAY_CONTROL_URL": "http://127.0.0.1:1",
        "GATEWAY_STATE_DIR": "/nowhere",
        "GATEWAY_REDIS_URL": url,
    }
    with pytest.raises(SettingsError, match=problem) as refused:
        read_settings(environment)
    assert "s3cret" not in str(refused.value)


def test_the_password_is_in_no_text_of_an_access():
    assert "s3cret" not in repr(read_url("redis://u:s3cret@h")[1])


def test_a_place_has_one_name_for_all_who_count_there_and_none_that_tells_the_address(monkeypatch):
    here = place_name("redis://u:s3cret@Limits.example.com:6379/1")
    same = ["redis://limits.example.com/1", "rediss://:other@limits.example.com/1?password=x"]
    assert {place_name(url) for url in same} == {here}
    others = [
        "redis://limits.example.com/2",
        "redis://limits.example.com:1/1",
        "unix:///limits",
        "redis://127.0.0.1/1",
    ]
    names = {here, *map(place_name, others)}
    assert len(names) == 5
    assert not any("limits" in name or "s3cret" in name for name in names)
    assert place_name("") == ""
    monkeypatch.setattr("socket.gethostname", lambda: "another-machine")
    assert place_name(same[0]) == here
    assert names.isdisjoint({place_name("unix:///limits"), place_name("redis://127.0.0.1/1")})


def test_names_of_calls_differ_and_ask_the_system_for_random_bytes_once_each_gateway(monkeypatch):
    asked = []
    monkeypatch.setattr("secrets.token_hex", lambda size: asked.append(size) or f"{len(asked):012x}")
    limiters = [RedisLimiter("redis://127.0.0.1:1", Metrics()) for _ in range(2)]
    names = {next(limiter._names) for _ in range(3) for limiter in limiters}
    assert len(names) == 6
    assert asked == [6, 6]

"""Connections to backends: which are kept, how many there are, and what they verify."""

import asyncio
import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from core.egress import Destination, EgressRefused, read_networks
from gateway.proxy.connections import Connections, lines_of
from gateway.proxy.http import backend, pool
from gateway.proxy.http.errors import ConnectError, Disconnected, InvalidAnswer, NoRoom, TransportError
from gateway.proxy.http.outside import connect_outside
from gateway.proxy.http.pool import Pool, place_of
from gateway.proxy.metrics import Metrics
from tests.gateway.backend_server import HI, OK, Server, ask, read_all
from tests.gateway.eventually import until


def test_a_call_that_is_given_up_ends_its_connection_and_one_that_is_finished_may_keep_it():
    async def slowly(reader, writer):
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(slowly, slowly) as server, connections:
            for seconds, is_kept in ((1.0, True), (0.01, False)):
                connections._pool.close()
                answer = await ask(server, connections)
                await answer.read()
                answer.finish(seconds)
                answer.close()
                address, pool = place_of(f"http://127.0.0.1:{server.port}/").address, connections._pool
                await until(lambda: pool.kept(address) or not pool.size, "the end of the call")  # noqa: B023
                assert bool(pool.size) is is_kept

    asyncio.run(live())


def test_bytes_that_nobody_asked_for_cost_the_connection():
    async def unasked(reader, writer):
        writer.write(HI)
        await asyncio.sleep(0.05)
        writer.write(OK + b"content-length: 4\r\n\r\nevil")
        await reader.read()

    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(unasked, HI) as server, connections:
            assert await read_all(await ask(server, connections)) == b"hi"
            await until(lambda: not connections._pool.size, "the end of the connection")
            assert await read_all(await ask(server, connections)) == b"hi"
            assert server.connections == 2

    asyncio.run(live())


def test_a_kept_connection_is_used_again_and_ends_after_its_time(monkeypatch):
    monkeypatch.setattr("gateway.proxy.connections._KEPT_SECONDS", 1.0)

    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(*[HI] * 3) as server, connections:
            for _ in range(3):
                assert await read_all(await ask(server, connections)) == b"hi"
            assert server.connections == 1
            async with asyncio.timeout(5):
                await server.lost.wait()

    asyncio.run(live())


def test_connections_are_bounded_and_idle_ones_make_room():
    async def live():
        one = Connections(Metrics(), most=1)
        async with Server(HI, HI) as server, Server(HI) as other, one:
            answer = await ask(server, one)
            assert await read_all(answer) == b"hi"
            assert await read_all(await ask(other, one)) == b"hi"
            place = place_of(f"http://127.0.0.1:{server.port}/")
            busy = Pool(most=1, kept_seconds=1)
            held = await busy.dial(place.address, 5)
            with pytest.raises(ConnectError, match="in use"):
                await busy.dial(place.address, 5)
            held.leave()

    asyncio.run(live())


def test_one_address_never_has_all_connections():
    async def live():
        async with Server() as server, Server() as other:
            first, second = (place_of(f"http://127.0.0.1:{one.port}/").address for one in (server, other))
            pool = Pool(most=4, kept_seconds=1)
            held = [await pool.dial(first, 5) for _ in range(3)]
            with pytest.raises(NoRoom, match="to one address"):
                await pool.dial(first, 5)
            held.append(await pool.dial(second, 5))
            with pytest.raises(NoRoom, match="to backends"):
                await pool.dial(second, 5)
            for one in held:
                one.leave()
            await until(lambda: not pool.size, "the end of the connections")
            assert pool._counts == {}
            server._server.close()
            with pytest.raises(ConnectError):
                await pool.dial(first, 5)
            assert pool._counts == {}

    asyncio.run(live())


def test_work_that_is_not_repeated_goes_over_a_new_connection():
    async def live():
        async with Server(HI, HI, HI) as server, Connections(Metrics(), most=10) as connections:
            for may_repeat, opened in ((True, 1), (True, 1), (False, 2)):
                assert await read_all(await ask(server, connections, may_repeat=may_repeat)) == b"hi"
                assert server.connections == opened

    asyncio.run(live())


def test_no_header_smuggles_another():
    async def live():
        async with Server(HI) as server, Connections(Metrics(), most=1) as connections:
            with pytest.raises(ValueError, match="line end"):
                await connections.post(
                    f"http://127.0.0.1:{server.port}/",
                    data=b"",
                    lines=lines_of({"a": "b\r\ncontent-length: 0"}),
                    connect_seconds=1,
                    response_seconds=1,
                )
            await ask(server, connections)
        assert server.requests == [
            b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nx-request-id: 1\r\ncontent-length: 2\r\n\r\n{}"
            % server.port
        ]

    asyncio.run(live())


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.1", "::ffff:127.0.0.1", "fd00:ec2::254"])
def test_a_proxy_is_asked_for_no_address_that_nobody_may_reach(address):
    """The networks that operators allow may have become fewer since the provider was saved."""
    networks = read_networks(["127.0.0.0/8"])

    async def live():
        async with Server(HI) as server:
            proxy = f"http://127.0.0.1:{server.port}"
            with pytest.raises(EgressRefused):
                await connect_outside(Destination("https", address, 443, ""), proxy, networks)
            assert server.connections == 0

    asyncio.run(live())


def test_the_url_of_a_backend_is_read_strictly():
    assert place_of("https://a.example/v1/x").address == ("a.example", 443, True, None)
    assert place_of("https://a.example:444/v1").start == b"POST /v1 HTTP/1.1\r\nhost: a.example:444\r\n"
    assert place_of("http://[::1]:80/").start == b"POST / HTTP/1.1\r\nhost: [::1]\r\n"
    for url in ("ftp://a/", "http:///x", "http://a:b@c/", "http://a:99999/", "http://a/\u00e4"):
        with pytest.raises(ConnectError):
            place_of(url)


def certificate(directory, *, name, address):
    """A certificate that signs itself, and its key; their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name), *([x509.IPAddress(ipaddress.ip_address(address))] if address else [])]
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return directory / "cert.pem", directory / "key.pem"


@pytest.mark.parametrize(
    ("is_trusted", "name", "is_reached"),
    [(True, "localhost", True), (False, "localhost", False), (True, "elsewhere.example", False)],
)
def test_tls_to_a_backend_is_verified_by_authority_and_name(
    tmp_path, monkeypatch, is_trusted, name, is_reached
):
    certificate_file, key_file = certificate(tmp_path, name=name, address=None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_file, key_file)
    context.set_alpn_protocols(["http/1.1"])
    asked = []
    context.sni_callback = lambda _socket, server_name, _context: asked.append(server_name)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate_file))
    pool._verifying.cache_clear()

    async def live():
        async with Server(HI, HI, context=context) as server, Connections(Metrics(), most=2) as connections:
            if is_reached:
                assert (
                    await read_all(await ask(server, connections, host="localhost", scheme="https")) == b"hi"
                )
                assert (
                    await read_all(await ask(server, connections, host="localhost", scheme="https")) == b"hi"
                )
                assert server.connections == 1
            else:
                with pytest.raises(ConnectError):
                    await ask(server, connections, host="localhost", scheme="https")
                assert server.requests == []

    try:
        asyncio.run(live())
        assert set(asked) == {"localhost"}
    finally:
        pool._verifying.cache_clear()


def test_every_failure_of_a_connection_is_one_of_ours():
    for kind in (ConnectError, Disconnected, InvalidAnswer):
        assert issubclass(kind, TransportError)
    assert backend.LARGEST_HEAD == 64 * 1024


@pytest.mark.parametrize("piece", [b"x", b"HTTP/1.1 102 Processing\r\n\r\n"])
def test_a_head_that_comes_piece_by_piece_has_no_more_time_than_another(piece):
    async def drip(reader, writer):
        writer.write(OK + b"x: " if piece == b"x" else b"")
        while True:
            writer.write(piece)
            await asyncio.sleep(0.05)

    async def live():
        connections = Connections(Metrics(), most=10)
        async with Server(drip) as server, connections:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(8) as eight:
                    await ask(server, connections, seconds=0.5)
            assert not eight.expired()

    asyncio.run(live())


def test_a_failed_connection_says_whether_a_kept_one_may_have_carried_the_call_before():
    """If not, nothing was sent, and our quota at the provider is not touched."""

    async def live():
        connections = Connections(Metrics(), most=10)

        async def ends_for_good(reader, writer):
            server._server.close()

        server = Server(HI, ends_for_good)
        async with server, connections:
            assert await read_all(await ask(server, connections)) == b"hi"
            for may_be_sent in (True, False):
                with pytest.raises(ConnectError) as failed:
                    await ask(server, connections)
                assert failed.value.may_be_sent is may_be_sent
            assert len(server.requests) == 2

    asyncio.run(live())

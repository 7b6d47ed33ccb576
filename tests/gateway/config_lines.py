"""Configurations as lines, and a stand-in for a control plane that answers with them."""

import asyncio
import hashlib

import openai
from aiohttp import web

from gateway.contract import REVISION_HEADER, RouteConfig, digest, encode, new_key_secret
from gateway.contract.signatures import NONCE_HEADER, SEAL_HEADER, Message, nothing_newer, seal_message
from gateway.contract.stream import (
    CONFIG_TYPE,
    ConfigEnd,
    ConfigHead,
    ConfigRecords,
    ConfigRouting,
    KeyRecord,
    ProjectRecord,
    TenantRecord,
    Unpacker,
    compressed,
    pack,
)
from gateway.contract.versions import VERSION_HEADER, Downgrade, PartReader
from gateway.proxy.config_build import IndexBuilder
from tests.gateway.proxy_fixtures import MODEL, StandInControlPlane, ask

SECRETS = [new_key_secret() for _ in range(3)]
FIRST, SECOND, THIRD = range(3)


def key(number, **fields):
    record = {"digest": digest(SECRETS[number]), "key_id": f"key-{number}", "prefix": f"qm_{number}"}
    return KeyRecord(**{**record, "project_id": "project", "models": [MODEL], **fields})


def everything(revision, *keys, routes=(), ends=None, state=None):
    records = ConfigRecords(
        tenants=[TenantRecord(id="tenant", slug="lab")],
        projects=[
            ProjectRecord(id="project", slug="p", tenant_id="tenant", grant_ends=ends or {MODEL: 2**40})
        ],
    )
    head = ConfigHead(revision=revision, issued_at="now", state=state or f"s{revision}")
    routing = ConfigRouting(routes=list(routes))
    return pack([head, routing]) + pack(
        [records, ConfigRecords(keys=list(keys)), ConfigEnd(revision=revision)]
    )


def changes(after, **records):
    revision = records.pop("revision", after + 1)
    head = ConfigHead(revision=revision, issued_at="now", after=after, state=f"s{revision}")
    return pack([head, ConfigRecords(**records)]) + pack([ConfigEnd(revision=revision)])


def in_version_1(body):
    """The same message, as a console sends it to a gateway of version 1."""
    reader = PartReader()
    parts = [reader.read(line) for line in Unpacker().feed(body)]
    routes = next((part.routes for part in parts if isinstance(part, ConfigRouting)), [])
    return pack(map(Downgrade(routes).part, parts))


def signed(body, private, *, installation, gateway="gw-test", nonce=""):
    """The same message, signed for a gateway by these private keys."""
    *lines, end = Unpacker().feed(body)
    head = PartReader().read(lines[0])
    text = b"".join(line + b"\n" for line in lines)
    message = Message(
        head.contract_version, head.revision, head.after, head.state, hashlib.sha256(text).digest()
    )
    seal = seal_message(message, private, installation=installation, gateway=gateway, nonce=nonce)
    return compressed(text) + pack([ConfigEnd(revision=PartReader().read(end).revision, seal=seal)])


def index_of(body, before=None):
    builder = IndexBuilder(before)
    for line in Unpacker().feed(body):
        builder.take(line)
    return builder.index()


def models_of(index, number=0):
    found = index.keys.get(digest(SECRETS[number]))
    return None if found is None else found.config.models


class LinesControlPlane(StandInControlPlane):
    """Answers with lines: with what stands in `answers` under the state that comes with the query.

    A body may be a list: of bytes, of events that are waited for, and of None, where the connection breaks off.
    """

    def __init__(self):
        super().__init__()
        self.answers = {}  # state -> revision, body
        # The revision that it says it has when it has nothing newer; None: the one that the gateway named.
        self.newest = None
        # What becomes of a body of bytes on its way, with the nonce of the request.
        self.on_the_way = lambda body, nonce: body
        # The seal of an answer that nothing is newer.
        self.seals = lambda message, nonce: None
        # Where somebody between sends requests: from one revision that they name to another one.
        self.led_astray = {}
        self.asked = []

    async def _config(self, request):
        after, state = int(request.query["after"]), request.query.get("state", "")
        if CONFIG_TYPE not in request.headers.get("accept", "") or not (after or self.answers):
            return await super()._config(request)
        if after in self.led_astray:
            raise web.HTTPTemporaryRedirect(request.rel_url.update_query(after=self.led_astray[after]))
        self.asked.append((after, state))
        for _ in range(100):
            revision, body = self.answers.get(state, (0, b""))
            if revision > after:
                break
            await asyncio.sleep(0.01)
        else:
            newest = self.newest or after
            headers = {REVISION_HEADER: str(newest), VERSION_HEADER: str(self.speaks)}
            said = nothing_newer(self.speaks, newest, after)
            if (seal := self.seals(said, request.headers.get(NONCE_HEADER, ""))) is not None:
                headers[SEAL_HEADER] = encode(seal).decode()
            return web.Response(status=204, headers=headers)
        if isinstance(body, bytes):
            body = self.on_the_way(body, request.headers.get(NONCE_HEADER, ""))
        answer = web.StreamResponse(headers={"content-type": CONFIG_TYPE})
        await answer.prepare(request)
        for piece in [body] if isinstance(body, bytes) else body:
            if piece is None:
                request.transport.abort()
                break
            if isinstance(piece, bytes):
                for begin in range(0, len(piece), 100):
                    await answer.write(piece[begin : begin + 100])
            else:
                while not piece.is_set():
                    await asyncio.sleep(0.01)
        return answer


def is_refused(rig, number):
    try:
        ask(rig.client(SECRETS[number]))
    except openai.AuthenticationError:
        return True
    return False


def routes_of(rig):
    return [RouteConfig(model=MODEL, modes=["chat"], targets=[rig.engine.backend()])]


def revoked(number):
    return {"removed_keys": [digest(SECRETS[number])]}

"""A provider that misbehaves on order: what no certified one can be made to say, our own small server says.

It signs whatever it is given, with its own key or another, and answers each path with what the test put there.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.oidc.running_provider import CLIENT


def new_key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class SigningServer:
    """Answers like a provider for subject "eve" until the test says otherwise."""

    def __init__(self):
        self.key, self.other_key = new_key(), new_key()
        self.answers, self.heard = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            do_POST = do_GET

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self):
        """Answer as a good provider would."""
        self.heard.clear()
        paths = {"authorization": "auth", "token": "token", "userinfo": "me", "end_session": "out"}
        description = {f"{name}_endpoint": f"{self.issuer}/{path}" for name, path in paths.items()}
        self.answers = {
            "/.well-known/openid-configuration": description
            | {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"},
            "/keys": {"keys": [self.public_key(self.key, "one")]},
            "/token": None,
            "/me": {"sub": "eve", "email": "eve@example.com", "email_verified": True, "groups": []},
        }

    def public_key(self, key, kid):
        return json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {
            "kid": kid,
            "use": "sig",
            "alg": "RS256",
        }

    def public_pem(self):
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def claims(self, **changes):
        """The claims of a good ID token; None takes one away."""
        moment = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "eve",
            "iat": moment,
            "exp": moment + 60,
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def sign(self, claims, *, key=None, alg="RS256", kid="one", **headers):
        """A token of these claims, whatever they are: the library's own `encode` refuses wrong types."""
        payload = json.dumps(claims).encode()
        return jwt.PyJWS().encode(payload, key or self.key, algorithm=alg, headers={"kid": kid, **headers})

    def sign_by_hand(self, claims, *, alg, signature=b""):
        """What libraries refuse to make: `none`, or a signature of one's own making."""
        parts = [json.dumps({"alg": alg, "kid": "one", "typ": "JWT"}).encode(), json.dumps(claims).encode()]
        text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        signed = signature(text) if callable(signature) else signature
        return b".".join([text, base64.urlsafe_b64encode(signed).rstrip(b"=")]).decode()

    def give_tokens(self, id_token, **more):
        self.answers["/token"] = {
            "access_token": "opaque",
            "token_type": "Bearer",
            "id_token": id_token,
            **more,
        }

    def answer(self, handler):
        path = urlsplit(handler.path).path
        length = int(handler.headers.get("Content-Length") or 0)
        self.heard.append((path, parse_qs(handler.rfile.read(length).decode())))
        answer = self.answers.get(path)
        status, kind, body = answer if isinstance(answer, tuple) else (200, "application/json", answer)
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

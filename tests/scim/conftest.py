"""A directory with its token, speaking to /scim/v2/ as identity providers do."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.test import Client
from scim2_models import Context, Error, ListResponse

from accounts.models import User
from directory.actions.scim_tokens import issue_scim_token
from directory.scim import payloads

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


class Directory:
    """Speaks SCIM with a token, and holds every answer against the library's models of the RFCs."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __call__(self, method, path, body=None, *, secret=None, **headers):
        answer = Client().generic(
            method.upper(),
            f"/scim/v2/{path}",
            "" if body is None else json.dumps(body),
            content_type="application/scim+json",
            headers={"Authorization": f"Bearer {secret or self.secret}", **headers},
        )
        check_answer(answer)
        return answer

    def get(self, path, **headers):
        return self("GET", path, **headers)

    def list(self, path, **parameters):
        from urllib.parse import urlencode

        return self.get(f"{path}?{urlencode(parameters)}")

    def post(self, path, body, **headers):
        return self("POST", path, body, **headers)

    def put(self, path, body, **headers):
        return self("PUT", path, body, **headers)

    def patch(self, path, *operations, **headers):
        return self("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}, **headers)

    def delete(self, path, **headers):
        return self("DELETE", path, **headers)

    def person(self, email="ada@example.com", **fields):
        """Provision somebody; their row."""
        answer = self.post("Users", {"schemas": [USER], "userName": email, **fields})
        assert answer.status_code == 201, answer.content
        return User.objects.get(pk=answer.json()["id"])

    def group(self, name="Engineers", *members):
        """Provision a group; its id."""
        body = {"schemas": [GROUP], "displayName": name, "members": [{"value": str(m.pk)} for m in members]}
        answer = self.post("Groups", body)
        assert answer.status_code == 201, answer.content
        return answer.json()["id"]


def check_answer(answer):
    """Whatever we answer, the library reads it as what the RFCs say it is."""
    if answer.status_code in (204, 304):
        assert not answer.content
        return
    assert answer["Content-Type"] == "application/scim+json"
    body = answer.json()
    schemas = body["schemas"]
    if ERROR in schemas:
        Error.model_validate(body)
        assert body["status"] == str(answer.status_code)
    elif LIST in schemas:
        kind = {USER: payloads.User, GROUP: payloads.Group}.get(
            next(iter(body["Resources"] or [{"schemas": [USER]}]))["schemas"][0]
        )
        if kind is not None:
            ListResponse[kind].model_validate(body, scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
    elif schemas[0] in (USER, GROUP):
        kind = payloads.User if schemas[0] == USER else payloads.Group
        read = kind.model_validate(body, scim_ctx=Context.RESOURCE_QUERY_RESPONSE)
        if read.meta is not None and read.meta.version:
            assert answer["ETag"] == read.meta.version


@pytest.fixture
def token(db):
    token, secret = issue_scim_token("Test directory", life=timedelta(days=30), by=None)
    token.secret = secret
    return token


@pytest.fixture
def directory(token):
    return Directory(token.secret)

"""The OpenID provider that tests sign in at: npm's oidc-provider as a process, steered through its control endpoint."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from launcher.ports import free_port

SCRIPT = Path(__file__).parent / "provider" / "provider.mjs"
CLIENT, SECRET, AUDIENCE = "quartermaster", "a secret & more of it", "https://quartermaster.example/api"
CALLBACK = "http://testserver/oidc/callback/"


class RunningProvider:
    """One process. Its users, keys and moods are the tests' to change."""

    def __init__(self):
        if (node := shutil.which("node")) is None:
            pytest.skip("Node.js is not installed; the OpenID provider of the tests needs it")
        if not (SCRIPT.parent / "node_modules").is_dir():
            pytest.skip(
                f"Run npm ci in {SCRIPT.parent.name}: the OpenID provider of the tests is not installed"
            )
        settings = {"port": free_port(), "clients": clients([CALLBACK]), "audience": AUDIENCE}
        self.process = subprocess.Popen(
            [node, str(SCRIPT), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        addresses = json.loads(self.process.stdout.readline())
        self.issuer, self.control = addresses["issuer"], addresses["control"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()

    def tell(self, action, what=None):
        answer = requests.post(f"{self.control}/{action}", json=what, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def user(self, sub, *, groups=(), email="", verified=True, name="", disabled=False, **more):
        """Make or replace a user."""
        claims = {
            "email": email or f"{sub}@example.com",
            "email_verified": verified,
            "name": name or sub.title(),
        }
        claims["groups"] = list(groups)
        self.tell(
            "user", {"sub": sub, "claims": claims | more.pop("claims", {}), "disabled": disabled, **more}
        )

    def heard(self):
        """What was asked of it since the last time, as "POST /token"."""
        return self.tell("heard")

    def visit(self, address, sub, browser=None):
        """Follow the browser's way through the provider as `sub`, and return the address it sends back to."""
        browser = browser or requests.Session()
        answer = browser.get(address, allow_redirects=False, timeout=60)
        for _ in range(12):
            if answer.is_redirect:
                address = urljoin(answer.url, answer.headers["Location"])
                if not address.startswith(self.issuer):
                    return address
                answer = browser.get(address, allow_redirects=False, timeout=60)
            elif form := re.search(r'<form method="post" action="([^"]+)"', answer.text):
                target = urljoin(answer.url, form[1])
                answer = browser.post(target, data={"sub": sub}, allow_redirects=False, timeout=60)
            else:
                raise AssertionError(f"{answer.status_code} {answer.url}\n{answer.text[:2000]}")
        raise AssertionError("The provider sends round and round.")


def clients(redirects, logout="http://127.0.0.1:9/oidc/backchannel-logout/", after=()):
    """The console as the provider knows it, and a program that calls its API."""
    shared = {"grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]}
    console = {
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uris": list(redirects),
        "post_logout_redirect_uris": list(after),
        "token_endpoint_auth_method": "client_secret_basic",
        "backchannel_logout_uri": logout,
        "backchannel_logout_session_required": True,
        **shared,
    }
    program = {
        "client_id": "program",
        "redirect_uris": ["http://127.0.0.1:9/done"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        **shared,
    }
    return [console, program]

"""Registers a gateway, and writes or prints its token."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.errors import Conflict
from core.secrets import digest
from gateway import actions
from gateway.models import Gateway
from gateway.signing import pins


class Command(BaseCommand):
    help = (
        "Register the gateway NAME. Its token is the one in the environment variable GATEWAY_TOKEN if "
        "that is set, else the one in --token-file if that exists, else a new one. Repeating the command "
        "changes nothing; another token replaces the old one."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the gateway's GATEWAY_ID")
        parser.add_argument(
            "--token-file",
            type=Path,
            help="file to read the token from, or to write a new one to (mode 600); default: print a new one",
        )

        parser.add_argument(
            "--keys-file",
            type=Path,
            help="file to write the public signing keys to, for the gateway's GATEWAY_CONFIG_KEYS_FILE",
        )

    def handle(
        self,
        *args: Any,
        name: str,
        token_file: Path | None,
        keys_file: Path | None = None,
        **options: Any,
    ) -> None:
        known = os.environ.get("GATEWAY_TOKEN") or _read(token_file)
        gateway = Gateway.objects.filter(name=name).first()
        try:
            if gateway is None:
                gateway, secret = actions.register_gateway(name, by=None, secret=known)
                action = "registered"
            elif known and gateway.digest == digest(known) and gateway.revoked_at is None:
                secret, action = known, "is registered"
            else:
                gateway, secret = actions.renew_gateway_token(gateway.pk, by=None, secret=known)
                action = "has a new token"
        except (Conflict, ValueError) as error:
            raise CommandError(str(error)) from error
        if token_file is not None and _read(token_file) != secret:
            _write(token_file, secret)
        self.stdout.write(f"Gateway {gateway.name} {action} ({gateway.prefix}…).")
        if keys_file is not None:
            _write(keys_file, "\n".join(map(str, pins())))
        if known is None and token_file is None:
            self.stdout.write(f"Its token, shown only once: {secret}")


def _read(path: Path | None) -> str | None:
    if path is None or not path.exists():
        return None
    return path.read_text(encoding="utf-8-sig").strip() or None


def _write(path: Path, secret: str) -> None:
    """Write the token to a file that only its owner can read, from the first byte on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret + "\n")

"""The credentials that this gateway uses at providers: opened when a call needs one, never written in clear text."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from deployments.providers.dialects import Dialect
from gateway.contract import CredentialConfig
from gateway.contract.sealing import SEALED_KEY_HEADER, CannotOpen, open_key, public_half, unseal

_log = structlog.get_logger()
# As the console admits them: plain names below the directory, and variables with this beginning.
_FILE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,4}")
_VARIABLE: Final = re.compile(r"PROVIDER_[A-Z0-9_]{1,90}")
_PRIVATE_BYTES: Final = 32
_LARGEST_FILE: Final = 8 * 1024
_READ_AGAIN_SECONDS: Final = 1.0


class NoCredential(Exception):
    """No usable credential. The message says why, without any part of one."""


class Vault:
    """Opens credentials.

    Args:
        state_dir: where the private key and the sealed credential key are kept, readable by this user only.
        credentials_dir: below which files of credentials are; None: files cannot be used.
        environ: where variables are.
    """

    def __init__(
        self,
        state_dir: Path,
        credentials_dir: Path | None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._credentials_dir = credentials_dir
        self._environ = environ
        self._private = _private_key(state_dir / "sealing.key")
        self._sealed_file = state_dir / "credential.key"
        self._key: bytes | None = None
        self._sealed = ""
        # By target and sealed text; the configuration bounds their number, and a new key empties it.
        self._opened: dict[tuple[str, str], str] = {}
        self._files: dict[str, tuple[float, str]] = {}
        if self._sealed_file.exists():
            self._take(self._sealed_file.read_text())

    @property
    def public_key(self) -> str:
        """The public half of this gateway's key pair, for the console."""
        return public_half(self._private)

    def note(self, headers: Mapping[str, str]) -> None:
        """Take the credential key that an answer of the console brings, and keep it, sealed, for the next start."""
        sealed = headers.get(SEALED_KEY_HEADER, "")
        # It is sealed anew for each answer, so the key itself is compared.
        if not sealed or not self._take(sealed):
            return
        try:
            _write_private(self._sealed_file, sealed.encode())
        except OSError as error:
            _log.warning("credential_key_not_kept", reason=str(error))

    def header(
        self, dialect: Dialect, target_id: str, credentials: list[CredentialConfig]
    ) -> tuple[str, str] | None:
        """The header that authenticates a call; None for a target without credentials. Raises NoCredential.

        The newest credential that is in force now. Of a rotation's two, that is the new one.
        """
        if not credentials:
            return None
        now = time.time()
        problem = "each of its credentials has ended"
        for one in credentials:
            if one.until is not None and one.until <= now:
                continue
            try:
                return dialect.auth(self._secret(one, target_id))
            except NoCredential as error:
                problem = str(error)
        raise NoCredential(problem)

    def _secret(self, credential: CredentialConfig, target_id: str) -> str:
        if credential.kind == "stored":
            return self._opened_text(credential.value, target_id)
        if credential.kind == "environment":
            value = self._environ.get(credential.value, "") if _VARIABLE.fullmatch(credential.value) else ""
            if not value:
                raise NoCredential(f"the variable {credential.value} is not set on this gateway")
            return _one_word(value)
        return self._in_file(credential.value)

    def _opened_text(self, sealed: str, target_id: str) -> str:
        place = target_id, sealed
        if place not in self._opened:
            if self._key is None:
                raise NoCredential("the console has not sent the key for stored credentials yet")
            try:
                self._opened[place] = _one_word(unseal(sealed, self._key, target_id))
            except CannotOpen as error:
                raise NoCredential(str(error)) from None
        return self._opened[place]

    def _in_file(self, name: str) -> str:
        """The content of a file, read again at most once a second, so that a rotated one is used soon."""
        if self._credentials_dir is None or not _FILE.fullmatch(name):
            raise NoCredential("this gateway has no directory of credentials (GATEWAY_CREDENTIALS_DIR)")
        read_at, value = self._files.get(name, (0.0, ""))
        now = time.monotonic()
        if not value or now - read_at > _READ_AGAIN_SECONDS:
            path = self._credentials_dir / name
            try:
                if path.stat().st_size > _LARGEST_FILE:
                    raise NoCredential(f"the file {name} is too large for a credential")
                value = _one_word(path.read_text())
            except (OSError, ValueError) as error:
                raise NoCredential(f"the file {name} cannot be read: {type(error).__name__}") from None
            self._files[name] = now, value
        return value

    def _take(self, sealed: str) -> bool:
        """Open a sealed key. Returns whether it is another one than before."""
        if sealed == self._sealed:
            return False
        try:
            key = open_key(sealed.strip(), self._private)
        except CannotOpen as error:
            _log.error("credential_key_not_opened", reason=str(error))
            return False
        self._sealed = sealed
        if key == self._key:
            return False
        self._key = key
        self._opened.clear()
        return True


def _private_key(path: Path) -> bytes:
    """This gateway's private key. A missing or damaged one is made anew; the console then seals the key to that one."""
    key = path.read_bytes() if path.exists() else b""
    if len(key) == _PRIVATE_BYTES:
        return key
    if key:
        _log.error("sealing_key_damaged", path=str(path))
    key = os.urandom(_PRIVATE_BYTES)
    try:
        _write_private(path, key)
    except OSError as error:
        # A full disk: it serves until the next start, which makes another one.
        _log.warning("sealing_key_not_kept", reason=str(error))
    return key


def _write_private(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _one_word(text: str) -> str:
    """A credential as it fits into a header. Raises NoCredential."""
    word = text.strip()
    if not word or not word.isascii() or not word.isprintable() or " " in word:
        raise NoCredential("a credential must be one word of ASCII characters")
    return word

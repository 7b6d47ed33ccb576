"""The settings of one gateway process, from environment variables. Errors name the variable."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway.contract import GATEWAY_TOKEN, looks_like
from gateway.contract.signatures import Pin, read_pins
from gateway.proxy.redis_address import read_url

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SettingsError(Exception):
    """A variable is missing or wrong. The message names it and says what it must be."""


@dataclass(frozen=True)
class Settings:
    """The settings from the environment. See docs/gateway/operating.md for each variable."""

    gateway_id: str
    token: str
    control_url: str
    state_dir: Path
    host: str
    port: int
    drain_seconds: int
    trusted_proxies: tuple[Network, ...]
    metrics_token: str
    log_level: str
    # If empty, limits are counted in the memory of this process.
    redis_url: str
    limits_fail_open: bool
    limits_lease_seconds: int
    # Below which files of providers' credentials are.
    credentials_dir: Path | None
    # The time limit for the head of a request, and for the next request on an open connection.
    head_seconds: int
    # Memory for larger bodies that are being read or sent on.
    body_memory_mib: int
    # Memory for larger answers that are passed on in one piece.
    answer_memory_mib: int
    largest_answer_mib: int  # for one of them
    # The time before a body must keep a minimum rate.
    body_grace_seconds: int
    # The keys with which the console signs configuration; empty: signatures are not checked.
    config_keys: tuple[Pin, ...] = ()
    # Processes that serve calls, and which of them this is; 0 for the one that starts them.
    workers: int = 1
    worker: int = 0
    # Where the gateway is; empty: unknown.
    region: str = ""


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the environment. Raises SettingsError for the first variable that is missing or wrong."""
    gateway_id = _required(environ, "GATEWAY_ID")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", gateway_id):
        raise SettingsError("GATEWAY_ID must be 1 to 64 letters, digits, dots, dashes or underscores.")
    token = _secret(environ, "GATEWAY_TOKEN")
    if not looks_like(GATEWAY_TOKEN, token):
        raise SettingsError(
            "GATEWAY_TOKEN must be a complete gateway token (qmg_…), as the console showed it."
        )
    control_url = _required(environ, "GATEWAY_CONTROL_URL").rstrip("/")
    if not re.fullmatch(r"https?://[^/?#]+", control_url):
        raise SettingsError("GATEWAY_CONTROL_URL must be http(s)://host:port, without a path.")
    level = environ.get("GATEWAY_LOG_LEVEL", "info").lower()
    if level not in ("debug", "info", "warning", "error"):
        raise SettingsError(f"GATEWAY_LOG_LEVEL must be debug, info, warning or error, not {level!r}.")
    workers = _whole_number(environ, "GATEWAY_WORKERS", 1, 1, 64)
    redis_url = _redis_url(environ)
    if workers > 1 and not redis_url:
        raise SettingsError(
            f"GATEWAY_WORKERS={workers} needs GATEWAY_REDIS_URL: without a Redis or Valkey each worker would count by "
            "itself and allow every limit once more. Set GATEWAY_REDIS_URL, or GATEWAY_WORKERS=1."
        )
    return Settings(
        gateway_id=gateway_id,
        token=token,
        control_url=control_url,
        state_dir=Path(_required(environ, "GATEWAY_STATE_DIR")),
        host=environ.get("GATEWAY_HOST", "127.0.0.1"),
        port=_whole_number(environ, "GATEWAY_PORT", 8080, 1, 65535),
        drain_seconds=_whole_number(environ, "GATEWAY_DRAIN_SECONDS", 30, 0, 3600),
        trusted_proxies=_networks(environ, "GATEWAY_TRUSTED_PROXIES"),
        metrics_token=_secret(environ, "GATEWAY_METRICS_TOKEN", required=False),
        log_level=level,
        redis_url=redis_url,
        limits_fail_open=_yes_or_no(environ, "GATEWAY_LIMITS_FAIL_OPEN"),
        limits_lease_seconds=_whole_number(environ, "GATEWAY_LIMITS_LEASE_SECONDS", 30, 1, 3600),
        credentials_dir=Path(directory)
        if (directory := environ.get("GATEWAY_CREDENTIALS_DIR", ""))
        else None,
        head_seconds=_whole_number(environ, "GATEWAY_HEAD_SECONDS", 20, 1, 600),
        body_memory_mib=_whole_number(environ, "GATEWAY_BODY_MEMORY_MIB", 128, 1, 1_000_000),
        answer_memory_mib=_whole_number(environ, "GATEWAY_ANSWER_MEMORY_MIB", 256, 1, 1_000_000),
        largest_answer_mib=_whole_number(environ, "GATEWAY_LARGEST_ANSWER_MIB", 64, 1, 1024),
        body_grace_seconds=_whole_number(environ, "GATEWAY_BODY_GRACE_SECONDS", 10, 1, 60),
        config_keys=_config_keys(environ),
        workers=workers,
        worker=_whole_number(environ, "GATEWAY_WORKER", 0, 0, 10_000),
        region=_region(environ),
    )


def _region(environ: Mapping[str, str]) -> str:
    region = environ.get("GATEWAY_REGION", "").strip()
    if region and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,58}[a-z0-9]", region):
        raise SettingsError(
            "GATEWAY_REGION must be a region such as eu-west-1 (lower-case letters, digits and hyphens), "
            f"not {region!r}."
        )
    return region


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set. The gateway cannot start without it.")
    return value


def _secret(environ: Mapping[str, str], name: str, *, required: bool = True) -> str:
    """The value of the variable, or the content of the file that `<name>_FILE` names."""
    path = environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            raise SettingsError(
                f"{name}_FILE names {path}, which cannot be read: {error.strerror}."
            ) from error
    value = environ.get(name, "").strip()
    if required and not value:
        raise SettingsError(f"Set {name}, or {name}_FILE. The gateway cannot start without it.")
    return value


def _redis_url(environ: Mapping[str, str]) -> str:
    """The URL of the Redis that shares limits, or empty. It may contain a password, so no message shows it."""
    url = _secret(environ, "GATEWAY_REDIS_URL", required=False)
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
        is_right = is_server and re.fullmatch(r"(/\d*)?", parts.path)
    except ValueError:
        is_right = None
    if url and not is_right and not url.startswith("unix:///"):
        raise SettingsError(
            "GATEWAY_REDIS_URL must be redis://[user:password@]host[:port][/number], rediss://… for TLS, or "
            "unix:///path."
        )
    try:
        if url:
            read_url(url)
    except ValueError as error:
        raise SettingsError(f"GATEWAY_REDIS_URL cannot be used: {error}.") from error
    return url


def _config_keys(environ: Mapping[str, str]) -> tuple[Pin, ...]:
    """The signing keys of the console. A named file must have some: an empty one would switch the check off."""
    text = _secret(environ, "GATEWAY_CONFIG_KEYS", required=False)
    try:
        pins = tuple(read_pins(text))
    except ValueError as error:
        raise SettingsError(f"GATEWAY_CONFIG_KEYS cannot be used: {error}.") from error
    if not pins and environ.get("GATEWAY_CONFIG_KEYS_FILE"):
        raise SettingsError("GATEWAY_CONFIG_KEYS_FILE names a file without a signing key.")
    return pins


def _whole_number(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {text!r}.")
    return int(text)


def _yes_or_no(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "false")
    if text not in ("true", "false"):
        raise SettingsError(f"{name} must be true or false, not {text!r}.")
    return text == "true"


def _networks(environ: Mapping[str, str], name: str) -> tuple[Network, ...]:
    try:
        return tuple(
            ipaddress.ip_network(part.strip()) for part in environ.get(name, "").split(",") if part.strip()
        )
    except ValueError as error:
        raise SettingsError(f"{name} must be comma-separated CIDR ranges: {error}.") from error

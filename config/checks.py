"""Find unsafe settings of an installation: `manage.py check --deploy`.

Errors also keep the console from starting (config/wsgi.py): a console open to everybody is worse than none. On
loopback, where development and the demo run, only settings that are wrong everywhere count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

from core.languages.files import stale_catalogs

SHORTEST_SECRET_KEY = 50


@register(Tags.security)
def check_secret_key(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    key = settings.SECRET_KEY
    if settings.IS_LOOPBACK or (len(key) >= SHORTEST_SECRET_KEY and len(set(key)) >= 10):
        return []
    return [
        Error(
            f"SECRET_KEY has {len(key)} characters, or repeats a few. Anyone who guesses it can sign in "
            "as any person.",
            hint=f"Use at least {SHORTEST_SECRET_KEY} random characters: python -c 'import secrets; "
            "print(secrets.token_urlsafe(50))'",
            id="qm.E001",
        )
    ]


@register(Tags.translation, deploy=True)
def check_languages(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Find catalogs that are not built: pages would be in English, or have the words of the last release."""
    if not (stale := stale_catalogs()):
        return []
    return [
        Warning(
            f"{len(stale)} catalogs are not built, such as {stale[0].relative_to(settings.BASE_DIR)}.",
            hint="python -m core.languages build",
            id="qm.W005",
        )
    ]


@register(Tags.security)
def check_somebody_can_sign_in(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.LOCAL_ACCOUNTS or settings.OIDC_ISSUER:
        return []
    return [
        Error(
            "LOCAL_ACCOUNTS is off and there is no OIDC_ISSUER: nobody can sign in.",
            hint="Set up OpenID Connect first, or leave LOCAL_ACCOUNTS on.",
            id="qm.E002",
        )
    ]


@register(Tags.security)
def check_transport(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Check the addresses to which browsers and clients send passwords, codes and tokens."""
    found: list[CheckMessage] = []
    for number, name in ((3, "CONSOLE_URL"), (4, "OIDC_ISSUER")):
        address = urlsplit(getattr(settings, name, "") or "https://")
        if address.scheme != "https" and address.hostname not in settings.LOOPBACK_HOSTS:
            found.append(
                Error(
                    f"{name} is {address.geturl()!r}, which sends secrets unencrypted.",
                    hint="Use https, if necessary behind a proxy with BEHIND_TLS_PROXY=on.",
                    id=f"qm.E00{number}",
                )
            )
    return found


@register(Tags.security)
def check_hosts(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.IS_LOOPBACK or "*" not in settings.ALLOWED_HOSTS:
        return []
    return [
        Error(
            "ALLOWED_HOSTS is *: attackers could make links in mails point anywhere.",
            hint="List the names under which browsers reach the console.",
            id="qm.E005",
        )
    ]


@register(Tags.security, deploy=True)
def check_demo(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.IS_LOOPBACK or not settings.IS_DEMO:
        return []
    return [
        Warning(
            "DEMO is on where others can reach it: its accounts need no second factor.",
            hint="Unset DEMO and create the accounts you need.",
            id="qm.W001",
        )
    ]


@register(Tags.security, deploy=True)
def check_second_factor(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.IS_LOOPBACK or settings.STAFF_SECOND_FACTOR == "required" or not settings.LOCAL_ACCOUNTS:
        return []
    return [
        Warning(
            "A password alone signs staff in (STAFF_SECOND_FACTOR is optional).",
            hint="Set STAFF_SECOND_FACTOR=required.",
            id="qm.W002",
        )
    ]


@register(Tags.security, deploy=True)
def check_proxies(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if not settings.IS_BEHIND_TLS_PROXY or settings.TRUSTED_PROXIES:
        return []
    return [
        Warning(
            "BEHIND_TLS_PROXY is on and TRUSTED_PROXIES is 0: everyone seems to come from the proxy, so "
            "they share lockouts and rate limits.",
            hint="Set TRUSTED_PROXIES to how many proxies append to X-Forwarded-For.",
            id="qm.W003",
        )
    ]


@register(Tags.security, deploy=True)
def check_mail(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    if settings.IS_LOOPBACK or not settings.EMAIL_BACKEND.endswith("console.EmailBackend"):
        return []
    return [
        Warning(
            "Mails go to the console's output: nobody gets an invitation, and anyone who reads the logs "
            "can use its link.",
            hint="Set EMAIL_BACKEND=django.core.mail.backends.smtp.EmailBackend and EMAIL_HOST.",
            id="qm.W004",
        )
    ]


def refuse_what_is_unsafe() -> None:
    """Raise ImproperlyConfigured with every error above, so that the console does not start."""
    checks = (check_secret_key, check_somebody_can_sign_in, check_transport, check_hosts)
    if errors := [error for check in checks for error in check(None)]:
        raise ImproperlyConfigured(" ".join(f"{error.id}: {error.msg} {error.hint}" for error in errors))

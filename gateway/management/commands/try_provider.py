"""Tries a provider for real: some small calls through a gateway of its own, and what held of the answers."""

from __future__ import annotations

from typing import Any

import msgspec
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.encryption import CannotDecrypt
from core.ids import uuid7
from core.secrets import GATEWAY_TOKEN, digest, new_key_secret, new_secret, visible_prefix
from deployments.models import Provider, ProviderCredential
from deployments.provider_credentials import credentials_for_gateways
from deployments.providers.dialects import DIALECTS
from gateway.contract import (
    ConfigSnapshot,
    CredentialConfig,
    KeyConfig,
    ProviderConfig,
    RouteConfig,
    SettingsConfig,
    TargetConfig,
)
from gateway.provider_trial.checks import CHAT, EMBEDDING, WRONG_KEY, WRONG_MODEL, Found, Trial
from gateway.provider_trial.console import TrialConsole
from gateway.provider_trial.process import DidNotStart, running_gateway
from gateway.targets import Sealed, credential_key, provider_config, settings_config

# Where the gateway finds a credential that no provider has ever issued.
_WRONG = CredentialConfig(kind="environment", value="PROVIDER_OF_THE_TRIAL_WRONG")
_WRONG_VALUE = "wrong-on-purpose-0123456789abcdef"
_NO_MODEL = "a-model-that-nobody-has"
_MARKS = {True: "held   ", False: "FAILED ", None: "skipped"}


class Command(BaseCommand):
    help = (
        "Call the provider NAME for real, through a gateway that lives only as long as the command: chat, stream, "
        "tools, embeddings, errors, usage. About a dozen small calls, which cost what they cost. Changes nothing, "
        "prints no credential, and ends with status 1 unless everything held."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the provider's name, such as openai-eu")
        parser.add_argument(
            "--model", required=True, help="its own name of a model that chats and knows tools"
        )
        parser.add_argument("--embedding-model", default="", help="its own name of a model of embeddings")

    def handle(self, *args: Any, name: str, model: str, embedding_model: str, **options: Any) -> None:
        provider = Provider.objects.filter(name=name).prefetch_related("credentials").first()
        if provider is None:
            known = ", ".join(Provider.objects.order_by("name").values_list("name", flat=True)) or "none"
            raise CommandError(f"There is no provider {name}. There are: {known}.")
        dialect = DIALECTS.get(provider.dialect)
        if embedding_model and not (dialect and dialect.takes("embedding")):
            raise CommandError(f"The dialect of {name} has no embeddings. Leave --embedding-model out.")
        try:
            secrets = _stored(provider)
        except CannotDecrypt as error:
            raise CommandError(f"The stored credential cannot be decrypted: {error}") from error
        key, token = new_key_secret(), new_secret(GATEWAY_TOKEN)
        console = TrialConsole(_snapshot(provider, model, embedding_model, key), credential_key(), token)
        self.stdout.write(
            f"Provider {name} at {provider.base_url}, dialect {provider.dialect}, model {model}"
        )
        failed = 0
        try:
            with running_gateway(
                settings.BASE_DIR, console.url, token, {_WRONG.value: _WRONG_VALUE}
            ) as gateway:
                for found in Trial(gateway, console, key, secrets, bool(embedding_model)).run():
                    failed += found.holds is False
                    self._print(found, secrets)
        except DidNotStart as error:
            raise CommandError(f"The gateway did not start: {_without(str(error), secrets)}") from error
        finally:
            console.close()
        if failed:
            raise CommandError(f"{failed} of the checks did not hold.")
        self.stdout.write("Everything held.")

    def _print(self, found: Found, secrets: list[str]) -> None:
        self.stdout.write(f"{_MARKS[found.holds]} {found.name}: {_without(found.words, secrets)}")


def _stored(provider: Provider) -> list[str]:
    """The stored credentials in force. One that is rotated out serves gateways that do not have the new one."""
    return [
        one.value for one in credentials_for_gateways(provider) if one.kind == ProviderCredential.Kind.STORED
    ]


def _without(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "[…]")
    return text


def _snapshot(provider: Provider, model: str, embedding_model: str, key: str) -> ConfigSnapshot:
    """The configuration of a gateway that serves this provider alone, for one key.

    Args:
        provider: with its credentials.
        model: its own name of the model to try.
        embedding_model: the same of embeddings; empty: none.
        key: the secret of the key.
    """
    sealed = Sealed()
    routes = [_route(CHAT, provider, model, sealed), _route(WRONG_MODEL, provider, _NO_MODEL, sealed)]
    routes.append(_route(WRONG_KEY, provider, model, None))
    if embedding_model:
        routes.append(_route(EMBEDDING, provider, embedding_model, sealed, mode="embedding"))
    return ConfigSnapshot(
        revision=1,
        issued_at="",
        keys=[
            KeyConfig(
                digest=digest(key),
                key_id=str(uuid7()),
                prefix=visible_prefix(key),
                tenant_id=str(uuid7()),
                tenant_slug="try-provider",
                project_id=str(uuid7()),
                project_slug="try-provider",
                models=[route.model for route in routes],
                data_classes={route.model: "public" for route in routes},
            )
        ],
        routes=routes,
        settings=SettingsConfig(allowed_networks=settings_config().allowed_networks),
    )


def _route(
    name: str, provider: Provider, model: str, sealed: Sealed | None, *, mode: str = "chat"
) -> RouteConfig:
    """A route to one model of the provider.

    Args:
        name: the public name.
        provider: the provider.
        model: its own name of the model.
        sealed: its credentials; None: a wrong one instead.
        mode: of the model.
    """
    target_id = str(uuid7())
    config: ProviderConfig = provider_config(provider, sealed or Sealed(), target_id)
    # A trial is not held back by what else is called now.
    config = msgspec.structs.replace(config, quota=None)
    if sealed is None:
        config = msgspec.structs.replace(config, credentials=[_WRONG])
    target = TargetConfig(
        id=target_id,
        addresses=[provider.base_url.rstrip("/")],
        upstream_model=model,
        modes=[mode],
        provider=config,
    )
    return RouteConfig(model=name, modes=[mode], targets=[target])

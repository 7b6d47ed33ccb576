"""Lists that operators set for all gateways: hosts of media, and the order of regions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from deployments.list_settings import ListSetting
from deployments.provider_fields import clean_regions
from gateway.models import GatewayPolicy
from gateway.proxy.media import is_allowed_host

MOST_MEDIA_HOSTS = 200


def clean_region_order(regions: Iterable[str]) -> list[str]:
    """The regions in that order, each once. Raises ValidationError naming one that is no name of a region."""
    try:
        return clean_regions(list(regions))
    except ValidationError as error:
        raise ValidationError({"regions": error.messages}) from error


def clean_media_hosts(hosts: Iterable[str]) -> list[str]:
    """The hosts in order, each once. Raises ValidationError naming one that engines must never contact."""
    wanted = sorted({host.strip().lower().rstrip(".") for host in hosts if host.strip()})
    if len(wanted) > MOST_MEDIA_HOSTS:
        raise ValidationError({"hosts": _("At most %(most)d hosts.") % {"most": MOST_MEDIA_HOSTS}})
    for host in wanted:
        named = host.removeprefix("*.")
        is_name = re.fullmatch(
            r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+", named
        )
        example = f"a.{named}" if host != named else named
        if is_name is None or len(host) > 253 or not is_allowed_host(example, {host}):
            message = _(
                "%(host)s is not a public host. Enter a name such as pictures.example.com, or "
                "*.example.org for all names below it; no scheme, port or path, and no address of your "
                "own network."
            )
            raise ValidationError({"hosts": message % {"host": host[:80]}})
    return wanted


MEDIA_HOSTS = ListSetting(
    GatewayPolicy, "media_hosts", name="hosts", verb="gateway.media_hosts_set", clean=clean_media_hosts
)
REGION_ORDER = ListSetting(
    GatewayPolicy, "region_order", name="regions", verb="gateway.region_order_set", clean=clean_region_order
)

"""Which addresses this installation may call on behalf of a URL that somebody typed, and how it connects to them.

The console uses it to test providers and to send webhooks, the gateway to call providers. Only the standard library is
imported, so both can.

    destination = read_url("https://api.example.com/v1", networks)      # no look-up yet
    socket = connect(destination, networks, timeout_seconds=5)          # looks up once, checks, connects to that
    tls = client_tls(private_ca).wrap_socket(socket, server_hostname=destination.host)

The name is looked up once. Every address in the answer is checked, and the connection goes to a checked address, so a
name that resolves to something else a moment later changes nothing. Nothing here follows a redirect.
"""

from core.egress.alarm import Alarm
from core.egress.connecting import (
    client_tls,
    connect,
    connect_async,
    connect_through_proxy,
    look_up,
    read_private_ca,
)
from core.egress.destinations import Destination, read_proxy_url, read_url
from core.egress.networks import Networks, check_address, read_networks
from core.egress.posting import Endpoint, Reply, post, read_endpoint
from core.egress.racing import Answered, connected, first_to_answer, head_start_within
from core.egress.words import EgressRefused, Explained, gettext_noop

__all__ = [
    "Alarm",
    "Answered",
    "Destination",
    "EgressRefused",
    "Endpoint",
    "Explained",
    "Networks",
    "Reply",
    "check_address",
    "client_tls",
    "connect",
    "connect_async",
    "connect_through_proxy",
    "connected",
    "first_to_answer",
    "gettext_noop",
    "head_start_within",
    "look_up",
    "post",
    "read_endpoint",
    "read_networks",
    "read_private_ca",
    "read_proxy_url",
    "read_url",
]

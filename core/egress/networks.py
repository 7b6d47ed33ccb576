"""Addresses: which are public, which an operator has allowed, and which nothing may reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from core.egress.words import EgressRefused, gettext_noop

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MOST_NETWORKS: Final = 100
# The widest networks that can be allowed: 10.0.0.0/8 and fc00::/7 fit, "everything" does not.
WIDEST_IPV4: Final = 8
WIDEST_IPV6: Final = 7


@dataclass(frozen=True)
class Networks:
    """The networks beyond the public Internet that may be reached; none by default."""

    allowed: tuple[Network, ...] = ()

    def hold(self, address: Address) -> bool:
        """Whether an operator has allowed a network with this address."""
        return any(address.version == network.version and address in network for network in self.allowed)


# Where clouds hand credentials to whoever asks from the machine. No setting allows these.
METADATA: Final = frozenset(
    ip_address(text)
    for text in (
        # AWS, Azure, Google, Oracle and others; then AWS tasks, pods and time.
        "169.254.169.254", "169.254.170.2", "169.254.170.23", "169.254.169.253", "169.254.169.123",
        "fd00:ec2::254", "fd00:ec2::23", "fd00:ec2::253", "fd00:ec2::123",
        # Alibaba, Azure's host agent (a public address), Oracle, Google by IPv6, Equinix, Scaleway by IPv6.
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:c1::a9fe:a9fe", "fd20:ce::254",
        "192.80.8.124", "fd00:42::42",
    )
)  # fmt: skip

# What is special about networks that are not public, in the order in which they are looked for.
_SPECIAL: Final[tuple[tuple[str, tuple[Network, ...]], ...]] = tuple(
    (code, tuple(ip_network(text) for text in networks))
    for code, networks in (
        ("loopback", ("127.0.0.0/8", "::1/128")),
        ("link_local", ("169.254.0.0/16", "fe80::/10")),
        ("unspecified", ("0.0.0.0/8", "::/128")),
        # Its position of the IPv4 address differs from one network to the next (RFC 8215).
        ("local_nat64", ("64:ff9b:1::/48",)),
        # Shared by carriers (CGNAT).
        ("shared", ("100.64.0.0/10",)),
        ("private", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10")),
        ("multicast", ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")),
        (
            "reserved",
            (
                # Protocol assignments, documentation, benchmarks, old 6to4 relays, future use.
                "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
                "192.88.99.0/24", "240.0.0.0/4", "100::/64", "2001:2::/48", "2001:db8::/32", "3fff::/20",
                "5f00::/16", "2001:10::/28", "2001:20::/28",
            ),
        ),
    )
)  # fmt: skip
_WORDS: Final = {
    "loopback": gettext_noop(
        "%(address)s is this machine itself. Providers may be there only if an operator allows its network."
    ),
    "link_local": gettext_noop("%(address)s is a link-local address. No setting allows it."),
    "unspecified": gettext_noop("%(address)s is an unspecified address. No setting allows it."),
    "local_nat64": gettext_noop("%(address)s belongs to a local translator (NAT64). No setting allows it."),
    "shared": gettext_noop(
        "%(address)s is in the network that carriers share. Providers may be there only if an operator allows "
        "its network."
    ),
    "private": gettext_noop(
        "%(address)s is a private address. Providers may be there only if an operator allows its network."
    ),
    "multicast": gettext_noop("%(address)s is a multicast or broadcast address. No setting allows it."),
    "reserved": gettext_noop(
        "%(address)s is not a public address. Providers may be there only if an operator allows its network."
    ),
    "embedded": gettext_noop(
        "%(address)s stands for the IPv4 address %(inner)s. Providers may be there only if an operator allows "
        "the IPv6 network."
    ),
}
# Networks that nobody can allow: what is in them is never a provider.
_NEVER: Final = frozenset({"link_local", "unspecified", "multicast", "local_nat64"})
# IPv6 addresses that stand for an IPv4 address: the network, and the position of the 32 bits from the right.
_EMBEDDING: Final[tuple[tuple[IPv6Network, int], ...]] = (
    # Mapped, translated, compatible; NAT64; 6to4.
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("2002::/16"), 80),
)
_TEREDO: Final = IPv6Network("2001::/32")
# What is handed out on the Internet in IPv6; the rest is refused without being named.
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")


def check_address(address: Address, networks: Networks) -> None:
    """Raise EgressRefused unless the address is public, or in a network that an operator has allowed.

    Cloud metadata, link-local and multicast addresses are refused whatever is allowed. An IPv6 address that stands for
    an IPv4 address needs an allowed network of its own, and the IPv4 address must pass as well.
    """
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise EgressRefused(
            "zone", gettext_noop("%(address)s names a network interface of this machine."), address=address
        )
    if address in METADATA:
        raise EgressRefused(
            "metadata",
            gettext_noop("%(address)s is a metadata service of a cloud. No setting allows it."),
            address=address,
        )
    code = _kind_of(address)
    if code in _NEVER:
        raise EgressRefused(code, _WORDS[code], address=address)
    inner = _embedded(address) if isinstance(address, IPv6Address) else None
    if inner is not None:
        check_address(inner, networks)
        code = "embedded"
    if code and not networks.hold(address):
        raise EgressRefused(code, _WORDS[code], address=address, inner=inner)


def _kind_of(address: Address) -> str:
    """What is special about an address, as a code; empty for a public one."""
    for code, networks in _SPECIAL:
        if any(address.version == network.version and address in network for network in networks):
            return code
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return "reserved"
    # The library's table may know more than ours: what either calls special is.
    return "" if address.is_global and not (address.is_multicast or address.is_reserved) else "reserved"


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address at which packets to `address` end; None if there is none."""
    for network, shift in _EMBEDDING:
        if address in network and int(address) > 1:
            return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    if address in _TEREDO:
        # The client's address is stored with its bits turned.
        return IPv4Address(~int(address) & 0xFFFFFFFF)
    return None


def read_networks(said: Iterable[str]) -> Networks:
    """Read networks such as `10.20.0.0/16` or `fd12:3456::/48`, or single addresses.

    Raises EgressRefused, naming the text, for one that is no network, is too wide, or can never be allowed.
    """
    read: set[Network] = set()
    for text in said:
        if not (text := text.strip()):
            continue
        read.add(_read_network(text))
        if len(read) > MOST_NETWORKS:
            raise EgressRefused("too_many", gettext_noop("At most %(most)d networks."), most=MOST_NETWORKS)
    return Networks(
        tuple(sorted(read, key=lambda network: (network.version, int(network[0]), network.prefixlen)))
    )


def _read_network(text: str) -> Network:
    shown = text[:60]
    try:
        network = ip_network(text)
    except ValueError as error:
        raise EgressRefused(
            "network",
            gettext_noop(
                "%(text)s is no network. Write it as 10.20.0.0/16 or fd12:3456::/48, from its first address."
            ),
            text=shown,
        ) from error
    widest = WIDEST_IPV4 if network.version == 4 else WIDEST_IPV6
    if network.prefixlen < widest:
        raise EgressRefused(
            "network",
            gettext_noop("%(text)s is too wide: /%(widest)d or narrower."),
            text=shown,
            widest=widest,
        )
    never = [one for code, special in _SPECIAL for one in special if code in _NEVER]
    is_never = any(one.version == network.version and network.overlaps(one) for one in never)
    is_metadata = network.num_addresses == 1 and network[0] in METADATA
    if is_never or is_metadata or "%" in text:
        raise EgressRefused(
            "network",
            gettext_noop("%(text)s cannot be allowed: no provider is there, or a cloud's metadata is."),
            text=shown,
        )
    return network

"""Which network addresses a webhook may be sent to: public ones, and nothing that lies inside anybody's network.

An address may hide another one: IPv4 inside IPv6 (mapped, compatible, 6to4, Teredo, NAT64). Each is unwrapped and
judged by what a packet would reach.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

# `is_global` knows most of these; what it knows differs between versions of Python, so they are written out.
_REFUSED = tuple(
    ip_network(each)
    for each in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),  # the last: metadata of a large cloud
        *("::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16"),
        *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
_LOW_32 = 2**32 - 1


def is_public(text: str) -> bool:
    """Whether a webhook may go to this address, which a resolver gave. A zone (`fe80::1%eth0`) is never public."""
    try:
        return _public(ip_address(text))
    except ValueError:
        return False


def _public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        inner = _embedded(address)
        if inner is not None:
            return all(_public(each) for each in inner)
    refused = any(address in network for network in _REFUSED if network.version == address.version)
    return address.is_global and not refused and not address.is_multicast


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...] | None:
    """The IPv4 addresses that this one stands for, or None where it stands for itself."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64 or address in _COMPATIBLE:
        return (IPv4Address(int(address) & _LOW_32),)
    return None

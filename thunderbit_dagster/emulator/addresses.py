"""Which addresses the fetcher may dial: public ones, and origins allowed by name.

The check is made on the address that is dialled, after resolution and at every redirect, so that neither a name
that resolves to the inside, nor an odd spelling of an address, nor a name that changes its answer gets through.
"""

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from thunderbit_dagster.emulator.errors import EmulatorError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SITE_LOCAL = ipaddress.ip_network("fec0::/10")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Host and port that a request goes to."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Origin":
        """The origin of an http(s) URL.

        Raises:
            ValueError: The URL has none.
        """
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme.lower())
        if port is None or not parts.hostname:
            raise ValueError(f"not an http(s) origin: {url!r}")
        return cls(parts.hostname, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = "https" if self.port == _DEFAULT_PORTS["https"] else "http"
        suffix = "" if self.port == _DEFAULT_PORTS[scheme] else f":{self.port}"
        return f"{scheme}://{host}{suffix}"


def address_refusal(address: str) -> str | None:
    """Why an IP address may not be dialled, or None when it may."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = _embedded(ip) if isinstance(ip, ipaddress.IPv6Address) else None
    if inner is not None:
        found = address_refusal(str(inner))
        return f"{found} inside {ip}" if found else None
    if isinstance(ip, ipaddress.IPv6Address) and ip in _SITE_LOCAL:
        return "a private address"
    if ip.is_loopback or ip.is_unspecified:
        return "an address of this machine"
    if ip.is_multicast:
        return "a multicast address"
    if not ip.is_global or ip.is_reserved:
        return "a private address"
    return None


def _embedded(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order to try them. Blocks; decimal and octal spellings are understood.

    Raises:
        ApiError: `SCRAPE_DNS_RESOLUTION_ERROR`.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise EmulatorError("SCRAPE_DNS_RESOLUTION_ERROR", f"The name {host!r} cannot be resolved.") from None
    return list(dict.fromkeys(str(address[4][0]) for address in found))


def check(addresses: Collection[str], origin: Origin, allowed: Collection[Origin]) -> None:
    """Refuse a host that has an address not fit to be dialled, unless its origin is allowed by name.

    One unfit address is enough: a host that mixes public and private answers is refused as a whole.

    Raises:
        ApiError: `SCRAPE_TARGET_FORBIDDEN`; the message says how to allow the origin.
    """
    for address in addresses if origin not in allowed else ():
        reason = address_refusal(address)
        if reason is not None:
            raise EmulatorError(
                "SCRAPE_TARGET_FORBIDDEN",
                f"{origin.host} is {reason} ({address}), which the emulator does not fetch by default. To allow it, "
                f"name its origin: allow_origins=({str(origin)!r},).",
            )


def is_own(addresses: Collection[str], port: int, own_port: int | None) -> bool:
    """Whether a connection would reach the emulator itself."""
    return port == own_port and any(_stays_here(ipaddress.ip_address(a.partition("%")[0])) for a in addresses)


def _stays_here(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = _embedded(ip) if isinstance(ip, ipaddress.IPv6Address) else None
    return ip.is_loopback or ip.is_unspecified or (inner is not None and (inner.is_loopback or inner.is_unspecified))

"""Which addresses a page may reach: an allow-list of hosts, and no private network that is not on it.

The gate only decides; `planact_envs.chromium.proxy` stands between the browser and the network and asks it about every
connection, so redirects, frames, scripts, sockets and beacons are all decided here.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Mapping
from urllib.parse import urlsplit

Address = tuple[str, int]
PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Gate:
    """`hosts` are the hosts that pages may load from. An entry is

    - a name, `shop.example`, or a name with a port, `shop.example:8080`; without a port every port is meant;
    - a domain, `*.example`: every name below it and not the domain itself; `*` is every name;
    - an address or a network, `10.0.0.7`, `[::1]:8080`, `10.0.0.0/8`. Names lead to public addresses only, unless the private
      address is listed beside them (`localhost` stands for itself).

    `served` says where a name is really served, for sites that exist on this machine only; such a name is allowed.
    """

    hosts: tuple[str, ...] = ()
    served: Mapping[str, Address] = field(default_factory=dict)

    def refusal(self, url: str) -> str:
        """Why `url` may not be opened, "" when it may. An address is looked at once more when its name is resolved."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            return f"{error}"
        if parts.scheme not in PORTS or not host:
            return f"only http and https pages can be opened, not {parts.scheme or 'this'}"
        return self.refusal_of_host(host, port or PORTS[parts.scheme])

    def refusal_of_host(self, host: str, port: int) -> str:
        if host in self.served or any(_matches(entry, host, port) for entry in self.hosts):
            return ""
        known = sorted({*self.served, *self.hosts})
        return f"{host} is outside this environment; its sites are {', '.join(known) or 'none'}"

    def refusal_of_address(self, host: str, address: str, port: int) -> str:
        """Why a connection to `address`, which the allowed name `host` resolved to, is refused."""
        number = ipaddress.ip_address(address)
        number = getattr(number, "ipv4_mapped", None) or number
        if number.is_global and not number.is_multicast:
            return ""
        listed = any(_matches(entry, str(number), port) for entry in self.hosts)
        if listed or (host == "localhost" and str(number) in LOOPBACK):
            return ""
        return f"{host} leads to the private address {number}; list that address too if it is meant"


def _matches(entry: str, host: str, port: int) -> bool:
    name, wanted = _split(entry.lower())
    if wanted is not None and wanted != port:
        return False
    if name == "*":
        return not _is_address(host)
    if name.startswith("*."):
        return host.endswith(name[1:]) and not _is_address(host)
    if _is_address(host) and _is_network(name):
        return ipaddress.ip_address(host) in ipaddress.ip_network(name)
    return host == name


def _split(entry: str) -> tuple[str, int | None]:
    """Name and port of an entry; an IPv6 address with a port stands in brackets."""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, int(port[1:]) if port else None
    name, colon, port = entry.partition(":")
    return (name, int(port)) if colon and ":" not in port else (entry, None)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True

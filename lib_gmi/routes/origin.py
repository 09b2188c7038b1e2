"""Which requests come from a page of this server, under a name that this server has.

A browser sends requests to 127.0.0.1 for any website that asks it to. Two headers give that away:
``Origin`` differs from ``Host`` (cross-site requests), or ``Host`` is a name that only pretends to
be this machine (DNS rebinding). The rule is one for reading and changing, for routes and events.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

#: Further names under which this server is reached, separated by commas: a reverse proxy's.
HOSTS_VARIABLE = "GMI_ALLOWED_HOSTS"

_NO_ORIGIN = (
    "The request comes from a page without an origin of its own: a local file, a sandboxed frame, "
    "or one that was redirected. Open the page at this server's own address instead."
)
#: What the host's own setting adds to the variable; see :func:`allow`.
_configured: list[str] = []


def allow(names: str) -> None:
    """Take over the host's own setting of allowed names; called once, when the host starts.

    A page that could change the host's settings could otherwise let itself in.
    """
    _configured[:] = [names]


def refusal(headers: Mapping[str, str], local: str | None, public: bool = False) -> str | None:
    """Why a request is refused, or ``None``.

    Accepted names are those of the loopback interface, IP addresses (no website can take one for
    its name), what the user allowed, and any where the server is meant for others.

    Args:
        headers: of the request; looked up without regard to case by the mapping itself.
        local: the address of this machine that the request arrived at, if known. Whoever reaches
            any other than loopback's has been let in by the one who started the server.
        public: any name will do.
    """
    site = headers.get("Sec-Fetch-Site", "same-origin")
    if site not in ("same-origin", "none"):
        return "Requests from other websites are refused."
    public = public or _is_network(local)
    try:
        asked = [_address("//" + headers.get("Host", ""))]
        # a tunnel that tells its own name only here; a page of another name can write it as well,
        # so it is one more name that has to be accepted
        forwarded = headers.get("X-Forwarded-Host", "").split(",")
        asked += [_address("//" + name.strip()) for name in forwarded if name.strip()]
        origin = headers.get("Origin")
        if origin is not None:
            other = _address(origin)
            if not other[0]:  # "null", or a file's
                return _NO_ORIGIN
            # a proxy that hides its name: only the browser knows that the page is this server's
            vouched = public and "Sec-Fetch-Site" in headers
            if not (vouched or any(_same(other, one) for one in asked) or _is_allowed(other[0])):
                return (
                    "The request's origin is not this server. "
                    f"Behind a proxy, set {HOSTS_VARIABLE}={other[0]}."
                )
    except ValueError:
        return "The request's Host or Origin is malformed."
    return _unknown([name for name, _ in asked], public)


def _unknown(names: list[str], public: bool) -> str | None:
    """Why these names are not this server's, or ``None``."""
    for name in names:
        if not name:
            return "The request names no Host."
        if not (public or _is_own(name) or _is_allowed(name)):
            return (
                f"This server was asked for as '{name}', which is not known to be its name. If it "
                f"is (a proxy's, a tunnel's), set {HOSTS_VARIABLE}={name}, or add it to the "
                "setting 'Allowed hosts', and restart."
            )
    return None


def is_allowed_host(host: str) -> bool:
    """Whether the user named the host of a ``Host`` header in :data:`HOSTS_VARIABLE`."""
    try:
        return _is_allowed(_address("//" + host)[0])
    except ValueError:
        return False


def _same(one: tuple[str, int | None], other: tuple[str, int | None]) -> bool:
    # some browsers leave the port out of one of the two
    return one[0] == other[0] and (None in (one[1], other[1]) or one[1] == other[1])


def _address(url: str) -> tuple[str, int | None]:
    """Host name and port of an address.

    Raises:
        ValueError: malformed.
    """
    parsed = urlsplit(url.strip().lower())
    name = (parsed.hostname or "").removesuffix(".")
    return str(_ip(name) or name), parsed.port


def _ip(name: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name or "")
    except ValueError:
        return None
    # sockets that serve both families give IPv4 addresses this way
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(address: str | None) -> bool:
    """Whether an address is this machine's own."""
    ip = _ip(address)
    return ip is not None and ip.is_loopback


def _is_network(local: str | None) -> bool:
    ip = _ip(local)
    return ip is not None and not ip.is_loopback


def _is_own(name: str) -> bool:
    return name == "localhost" or name.endswith(".localhost") or _ip(name) is not None


def _is_allowed(name: str) -> bool:
    return name != "" and name in _allowed()


def _allowed() -> set[str]:
    """Names as people write them: bare, with a port, in brackets, as a URL."""
    found = set()
    for text in (os.environ.get(HOSTS_VARIABLE, ""), *_configured):
        for entry in text.split(","):
            name = entry.strip().lower()
            ip = _ip(name)
            try:
                url = name if "://" in name else f"//{name}"
                found.add(str(ip) if ip is not None else _address(url)[0])
            except ValueError:  # a slip there must not refuse everybody
                continue
    return found - {""}

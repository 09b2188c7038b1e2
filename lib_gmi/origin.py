"""Who may change something through a route: a page that this server itself has served.

A browser sends requests to 127.0.0.1 for any website that asks it to. Two headers give that away:
``Origin`` differs from ``Host`` (cross-site requests), or ``Host`` is a name that only pretends to
be this machine (DNS rebinding).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

#: Further host names under which this server is reached, separated by commas: a reverse proxy's.
HOSTS_VARIABLE = "GMI_ALLOWED_HOSTS"

_NO_ORIGIN = (
    "The request comes from a page without an origin of its own: a local file, a sandboxed frame, "
    "or one that was redirected. Open the page at this server's own address instead."
)


def refusal(headers: Mapping[str, str], local: str | None) -> str | None:
    """Why a state-changing request is refused, or ``None``.

    Args:
        headers: of the request; looked up without regard to case by the mapping itself.
        local: the address of this machine that the request arrived at, if known.
    """
    if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return "Requests from other websites are refused."
    try:
        name, port = _address("//" + headers.get("Host", ""))
        origin = headers.get("Origin")
        if origin is not None:
            other_name, other_port = _address(origin)
            if not other_name:  # "null", or a file's
                return _NO_ORIGIN
            # some browsers leave the port out of one of the two
            differs = None not in (port, other_port) and port != other_port
            if (other_name != name or differs) and other_name not in _allowed():
                return (
                    "The request's origin is not this server. "
                    f"Behind a proxy, set {HOSTS_VARIABLE}={other_name}."
                )
    except ValueError:
        return "The request's Host or Origin is malformed."
    if _is_loopback(local) and not _is_loopback(name) and name not in _allowed():
        return (
            f"This server listens on this machine only, but was asked for as '{name}'. "
            f"Behind a proxy, set {HOSTS_VARIABLE}={name}."
        )
    return None


def is_allowed_host(host: str) -> bool:
    """Whether the user named the host of a ``Host`` header in :data:`HOSTS_VARIABLE`."""
    try:
        return _address("//" + host)[0] in _allowed()
    except ValueError:
        return False


def _address(url: str) -> tuple[str, int | None]:
    """Host name and port of an address.

    Raises:
        ValueError: malformed.
    """
    parsed = urlsplit(url.lower())
    return parsed.hostname or "", parsed.port


def _is_loopback(name: str | None) -> bool:
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
        # sockets that serve both families give IPv4 addresses this way
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return False


def _allowed() -> set[str]:
    names = os.environ.get(HOSTS_VARIABLE, "").lower().split(",")
    return {name.strip().partition(":")[0] for name in names if name.strip()}

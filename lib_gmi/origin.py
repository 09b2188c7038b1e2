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


def refusal(headers: Mapping[str, str], local: str | None) -> str | None:
    """Why a state-changing request is refused, or ``None``.

    Args:
        headers: of the request; looked up without regard to case by the mapping itself.
        local: the address of this machine that the request arrived at, if known.
    """
    if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return "Requests from other websites are refused."
    host = urlsplit("//" + headers.get("Host", "").lower())
    origin = headers.get("Origin")
    if origin is not None:
        parsed = urlsplit(origin.lower())
        # some browsers leave the port out of one of the two
        other_port = None not in (parsed.port, host.port) and parsed.port != host.port
        if parsed.hostname != host.hostname or other_port:
            return "The request's origin is not this server."
    name = host.hostname or ""
    if _is_loopback(local) and not _is_loopback(name) and name not in _allowed():
        return (
            f"This server listens on this machine only, but was asked for as '{name}'. "
            f"Behind a proxy, set {HOSTS_VARIABLE}={name}."
        )
    return None


def _is_loopback(name: str | None) -> bool:
    if name is None:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _allowed() -> set[str]:
    names = os.environ.get(HOSTS_VARIABLE, "").lower().split(",")
    return {name.strip() for name in names if name.strip()}

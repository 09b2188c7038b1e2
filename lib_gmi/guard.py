"""Whom our routes on a gradio server serve: whoever may use the page that they belong to.

gradio and AUTOMATIC1111 protect only what they have added themselves. A route that somebody else
adds is open to everybody, behind a login, on a network and through a share link alike. So each
request is asked who it comes from.
"""

import base64
import binascii
import hmac
import inspect
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .origin import is_allowed_host

if TYPE_CHECKING:
    from starlette.requests import Request

#: What proxies and tunnels add; no browser sends any of these by itself.
_FORWARDED = frozenset(
    {"forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip", "fly-client-ip"}
)
_LOG_IN = "Log in first, or send the user name and password of the API (HTTP Basic)."
_STRANGER = (
    "This server asks nobody to log in, so these routes answer only to the machine it runs on. "
    "Start it with --api-auth user:password or --gradio-auth user:password to use them from "
    "elsewhere."
)


@dataclass(frozen=True)
class Caller:
    """What a request says of the one who sent it.

    Attributes:
        peer: the address that it comes from, if known.
        headers: looked up without regard to case by the mapping itself.
        user: who is logged in to gradio with this request's cookie, or ``None``.
    """

    peer: str | None
    headers: Mapping[str, str]
    user: str | None = None


@dataclass(frozen=True)
class Guard:
    """Decides whom the routes serve. A host fills in what it was started with.

    * Where gradio asks for a login, its session passes, and so do credentials of the API.
    * Where only the API has credentials, those pass.
    * Where there is neither, whoever sits at this machine passes.

    Attributes:
        gradio_app: gradio's FastAPI app; its login is looked up at each request.
        api_auth: ``user:password`` of everybody who may use the API.
        public: other machines reach this server (``--listen``, ``--server-name``, ``--share``).
        tunnelled: strangers' requests come from this machine's own address (``--share``,
            ``--ngrok``), so that the address proves nothing.
    """

    gradio_app: Any = None
    api_auth: Sequence[str] = ()
    public: bool = False
    tunnelled: bool = False

    @property
    def asks_for_login(self) -> bool:
        """Whether gradio shows its page only to those who logged in."""
        app = self.gradio_app
        names = ("auth", "auth_dependency")
        return any(getattr(app, name, None) is not None for name in names)

    def refusal(self, caller: Caller) -> tuple[int, str] | None:
        """Status and reason if this caller is not served, or ``None``."""
        if self.asks_for_login and caller.user is not None:
            return None
        if self.api_auth and self._knows(caller.headers.get("Authorization", "")):
            return None
        if self.api_auth or self.asks_for_login:
            return 401, _LOG_IN
        return (403, _STRANGER) if self._is_stranger(caller) else None

    async def check(self, request: "Request") -> tuple[int, str] | None:
        """:meth:`refusal` of a request to the server."""
        user = await self._user(request) if self.asks_for_login else None
        peer = None if request.client is None else request.client.host
        return self.refusal(Caller(peer, request.headers, user))

    def _is_stranger(self, caller: Caller) -> bool:
        if self.tunnelled:
            return True
        forwarded = any(
            name.lower() in _FORWARDED or name.lower().startswith("x-forwarded-")
            for name in caller.headers
        )
        if is_loopback(caller.peer) and not forwarded:
            return False
        # a proxy that the user named in front of a server that nobody else reaches
        return self.public or not is_allowed_host(caller.headers.get("Host", ""))

    def _knows(self, authorization: str) -> bool:
        """Whether a header holds credentials of the API. Takes the same time for any wrong ones."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            sent = base64.b64decode(encoded.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        matches = [hmac.compare_digest(sent, known.encode()) for known in self.api_auth]
        named = sent.partition(b":")[0] != b"" and b":" in sent
        return scheme.lower() == "basic" and named and any(matches)

    async def _user(self, request: "Request") -> str | None:
        """Who is logged in, found in the way of gradio's own ``get_current_user``."""
        app = self.gradio_app
        dependency = getattr(app, "auth_dependency", None)
        if dependency is not None:
            found: str | None = dependency(request)
            return await found if inspect.isawaitable(found) else found
        tokens: Mapping[str, str] = getattr(app, "tokens", {})
        suffix = f"-{app.cookie_id}" if hasattr(app, "cookie_id") else ""  # since gradio 4
        for name in (f"access-token{suffix}", f"access-token-unsecure{suffix}"):
            user = tokens.get(request.cookies.get(name, ""))
            if user is not None:
                return user
        return None


def is_loopback(address: str | None) -> bool:
    """Whether an address is this machine's own."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback

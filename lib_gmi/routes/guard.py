"""Whom our routes on a gradio server serve: whoever may use the page that they belong to.

gradio and AUTOMATIC1111 protect only what they have added themselves. A route that somebody else
adds is open to everybody, behind a login, on a network and through a share link alike. So each
request is asked who it comes from.
"""

import base64
import binascii
import hmac
import inspect
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .origin import is_allowed_host, is_loopback, refusal

if TYPE_CHECKING:
    from starlette.requests import Request

#: What proxies and tunnels add; no browser sends any of these by itself.
_FORWARDED = frozenset(
    {"forwarded", "via", "x-real-ip", "true-client-ip", "cf-connecting-ip", "fly-client-ip"}
)
#: Of this start. The page carries it, so whoever sends it was served the page.
TOKEN = secrets.token_urlsafe(32)
TOKEN_HEADER = "X-GMI-Token"
#: Where a server remembers its guard, for the events of the tab.
STATE = "find_best_model_guard"
_LOG_IN = "Log in first, or send the user name and password of the API (HTTP Basic)."
_STRANGER = (
    "This server asks nobody to log in, so these routes answer only to the machine it runs on. "
    "Start it with --api-auth user:password or --gradio-auth user:password to use them from "
    "elsewhere. In the page itself, reload it."
)


@dataclass(frozen=True)
class Caller:
    """What a request says of the one who sent it.

    Attributes:
        peer: the address that it comes from, if known.
        headers: looked up without regard to case by the mapping itself.
        user: who is logged in to gradio with this request's cookie, or ``None``.
        token: that the page carries, if it was sent.
    """

    peer: str | None
    headers: Mapping[str, str]
    user: str | None = None
    token: str = ""


@dataclass(frozen=True)
class Guard:
    """Decides whom the routes serve. A host fills in what it was started with.

    * Where gradio asks for a login, its session passes, and so do credentials of the API.
    * Where only the API has credentials, those pass.
    * Where gradio asks for no login, whoever was served its page passes: the page carries a token.
    * Where nobody asks for anything, whoever sits at this machine passes.

    Nobody passes from another website. Under a name that is not known to be this server's pass only
    those who logged in, and the page of a server that was started for others: a website whose name
    leads to this machine (DNS rebinding) is served the page as well, and can read the token.

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
        logged_in = self.asks_for_login and caller.user is not None
        known = logged_in or self._knows(caller.headers.get("Authorization", ""))
        token = caller.token.encode(errors="replace")  # JSON can hold half of a character
        has_page = not self.asks_for_login and hmac.compare_digest(token, TOKEN.encode())
        if not known and not has_page:
            if self.api_auth or self.asks_for_login:
                return 401, _LOG_IN
            if self._is_stranger(caller):
                return 403, _STRANGER
        any_name = known or (has_page and (self.public or self.tunnelled))
        reason = refusal(caller.headers, None, any_name)
        return None if reason is None else (403, reason)

    async def check(self, request: "Request", token: str = "") -> tuple[int, str] | None:
        """:meth:`refusal` of a request to the server; ``token`` where no header carries it."""
        user = await self._user(request) if self.asks_for_login else None
        peer = None if request.client is None else request.client.host
        token = token or request.headers.get(TOKEN_HEADER, "")
        return self.refusal(Caller(peer, request.headers, user, token))

    def _is_stranger(self, caller: Caller) -> bool:
        if self.tunnelled or not (is_loopback(caller.peer) or self._through_proxy(caller)):
            return True
        forwarded = any(
            name.lower() in _FORWARDED or name.lower().startswith("x-forwarded-")
            for name in caller.headers
        )
        return forwarded and not self._through_proxy(caller)

    def _through_proxy(self, caller: Caller) -> bool:
        """Whether the user named a proxy, in front of a server that nobody else reaches."""
        return not self.public and is_allowed_host(caller.headers.get("Host", ""))

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


async def event_refusal(request: Any, token: Any) -> str | None:
    """Why an event of the tab is not answered, or ``None``: it is asked what a route is asked.

    Args:
        request: gradio's ``Request``; one that came through its queue may have nothing behind it.
        token: that the page sent.
    """
    sent = getattr(request, "request", None)
    if sent is None or not hasattr(sent, "scope"):
        return "The request does not say where it comes from."
    app = sent.scope.get("app")
    guard = getattr(getattr(app, "state", None), STATE, None) or Guard(gradio_app=app)
    problem = await guard.check(sent, token if isinstance(token, str) else "")
    return None if problem is None else problem[1]

"""Whom the routes serve, decided without a server."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace
from typing import Any

import pytest

from lib_gmi.routes.guard import TOKEN, Caller, Guard, event_refusal
from lib_gmi.routes.origin import HOSTS_VARIABLE

LOOPBACK = ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1")
ELSEWHERE = ("192.168.1.7", "8.8.8.8", "fe80::1", "::ffff:10.0.0.1", "0.0.0.0", "", None, "name")
FORWARDED = (
    {"X-Forwarded-For": "127.0.0.1"},
    {"x-forwarded-host": "a.example"},
    {"X-Forwarded-Proto": "https"},
    {"Forwarded": "for=127.0.0.1"},
    {"X-Real-IP": "127.0.0.1"},
    {"Via": "1.1 proxy"},
    {"CF-Connecting-IP": "8.8.8.8"},
)


class Headers(dict[str, str]):
    """Looked up without regard to case, like a server's."""

    def get(self, name: str, default: Any = None) -> Any:
        return next((v for k, v in self.items() if k.lower() == name.lower()), default)


def caller(peer: str | None = "127.0.0.1", user: str | None = None, **headers: str) -> Caller:
    sent = {"Host": "127.0.0.1:7860", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Caller(peer, Headers(sent), user)


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def with_login(**attributes: Any) -> SimpleNamespace:
    """What a guard looks at of gradio's app."""
    return SimpleNamespace(**{"auth": {"ann": "x"}, "tokens": {"t": "ann"}, **attributes})


# -- nobody asks for a login ----------------------------------------------------------------------


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("peer", LOOPBACK)
def test_whoever_sits_at_this_machine_passes(peer: str, public: bool) -> None:
    assert Guard(public=public).refusal(caller(peer)) is None


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("peer", ELSEWHERE)
def test_another_machine_is_refused_and_told_the_flag(peer: str | None, public: bool) -> None:
    refused = Guard(public=public).refusal(caller(peer))
    assert refused is not None
    status, reason = refused
    assert status == 403
    assert "--api-auth" in reason
    assert "--gradio-auth" in reason


@pytest.mark.parametrize("headers", FORWARDED)
def test_a_proxy_at_this_machine_proves_nothing(headers: dict[str, str]) -> None:
    refused = Guard(public=True).refusal(Caller("127.0.0.1", Headers(headers)))
    assert refused is not None
    assert refused[0] == 403


@pytest.mark.parametrize("peer", LOOPBACK)
def test_behind_a_share_link_this_machine_proves_nothing(peer: str) -> None:
    refused = Guard(public=True, tunnelled=True).refusal(caller(peer))
    assert refused is not None
    assert refused[0] == 403


def test_a_proxy_that_the_user_named(monkeypatch: pytest.MonkeyPatch) -> None:
    through = caller("127.0.0.1", X_Forwarded_For="8.8.8.8", Host="sd.example:443")
    assert Guard().refusal(through) is not None
    monkeypatch.setenv(HOSTS_VARIABLE, "sd.example")
    assert Guard().refusal(through) is None
    # whom other machines reach directly, they can tell any name
    assert Guard(public=True).refusal(through) is not None
    assert Guard(tunnelled=True).refusal(through) is not None
    assert Guard().refusal(caller("8.8.8.8", Host="sd.example:nonsense")) is not None


# -- credentials of the API -----------------------------------------------------------------------


@pytest.mark.parametrize("peer", ["127.0.0.1", "8.8.8.8", None])
@pytest.mark.parametrize("credentials", ["robot:a:b", "other:clé"])
def test_credentials_pass_from_anywhere(credentials: str, peer: str | None) -> None:
    guard = Guard(api_auth=("robot:a:b", "other:clé"), public=True, tunnelled=True)
    assert guard.refusal(caller(peer, Authorization=basic(credentials))) is None
    assert (
        guard.refusal(caller(peer, authorization=basic(credentials).replace("B", "b", 1))) is None
    )


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic é",
        basic(""),
        basic(":"),
        basic("robot"),
        basic("robot:"),
        basic("robot:a"),
        basic("robot:a:b "),
        basic("ROBOT:a:b"),
        basic("other:a:b"),
        basic("robot:a:b").replace("Basic", "Bearer"),
        "robot:a:b",
    ],
)
def test_wrong_credentials_are_refused_here_as_well(authorization: str) -> None:
    guard = Guard(api_auth=("robot:a:b", "other:clé"))
    refused = guard.refusal(caller(Authorization=authorization))
    assert refused is not None
    assert refused[0] == 401


@pytest.mark.parametrize("entry", ["", "robot", ":"])
def test_credentials_that_are_none_open_nothing(entry: str) -> None:
    guard = Guard(api_auth=(entry,))
    for sent in ("", "robot", entry):
        assert guard.refusal(caller(Authorization=basic(sent))) is not None


# -- gradio's login -------------------------------------------------------------------------------


def test_a_session_of_gradio_passes() -> None:
    guard = Guard(gradio_app=with_login())
    assert guard.refusal(caller(user="ann")) is None
    for stranger in (caller(), caller(user=None, Authorization=basic("ann:x"))):
        refused = guard.refusal(stranger)
        assert refused is not None
        assert refused[0] == 401


def test_with_both_either_passes() -> None:
    guard = Guard(gradio_app=with_login(), api_auth=("robot:a",))
    assert guard.refusal(caller(user="ann")) is None
    assert guard.refusal(caller(Authorization=basic("robot:a"))) is None
    assert guard.refusal(caller()) is not None


def test_a_session_is_worth_nothing_where_only_the_api_has_credentials() -> None:
    guard = Guard(gradio_app=with_login(auth=None), api_auth=("robot:a",))
    assert guard.refusal(caller(user="ann")) is not None


def request(**cookies: str) -> Any:
    client = SimpleNamespace(host="127.0.0.1")
    return SimpleNamespace(cookies=cookies, headers=Headers(Host="localhost:7860"), client=client)


def checked(guard: Guard, sent: Any) -> tuple[int, str] | None:
    return asyncio.run(guard.check(sent))


@pytest.mark.parametrize(
    ("attributes", "cookies", "passes"),
    [
        ({}, {"access-token": "t"}, True),
        ({}, {"access-token-unsecure": "t"}, True),
        ({}, {"access-token": "wrong"}, False),
        ({}, {"access-token": ""}, False),
        ({}, {}, False),
        ({"cookie_id": "c"}, {"access-token-c": "t"}, True),
        ({"cookie_id": "c"}, {"access-token-unsecure-c": "t"}, True),
        ({"cookie_id": "c"}, {"access-token": "t"}, False),
        ({"cookie_id": "c"}, {"access-token-d": "t"}, False),
    ],
)
def test_cookies_of_each_generation(
    attributes: dict[str, Any], cookies: dict[str, str], passes: bool
) -> None:
    guard = Guard(gradio_app=with_login(**attributes))
    assert (checked(guard, request(**cookies)) is None) == passes


def test_a_login_of_the_programs_own() -> None:
    async def slowly(sent: Any) -> str | None:
        return sent.cookies.get("mine")

    for dependency in (slowly, lambda sent: sent.cookies.get("mine")):
        app = with_login(auth=None, auth_dependency=dependency)
        assert checked(Guard(gradio_app=app), request(mine="ann")) is None
        assert checked(Guard(gradio_app=app), request()) is not None


def test_a_login_that_is_set_up_later_counts() -> None:
    app = with_login(auth=None)
    guard = Guard(gradio_app=app)
    assert checked(guard, request()) is None
    app.auth = {"ann": "x"}
    assert checked(guard, request()) is not None


def test_a_request_without_an_address_is_a_strangers() -> None:
    sent = SimpleNamespace(cookies={}, headers=Headers(), client=None)
    assert checked(Guard(), sent) is not None


# -- the page's token, and names ------------------------------------------------------------------


def with_page(guard: Guard, host: str, peer: str = "127.0.0.1", **headers: str) -> Any:
    sent = caller(peer, Host=host, **headers)
    return guard.refusal(Caller(sent.peer, sent.headers, None, TOKEN))


@pytest.mark.parametrize("guard", [Guard(), Guard(public=True), Guard(public=True, tunnelled=True)])
def test_another_name_is_refused_without_the_page(guard: Guard) -> None:
    assert guard.refusal(caller(Host="evil.example:7860")) is not None


def test_a_rebound_page_has_the_token_and_is_refused_all_the_same() -> None:
    for guard in (Guard(), Guard(api_auth=("robot:a",))):
        status, reason = with_page(guard, "evil.example:7860", Sec_Fetch_Site="same-origin")
        assert status == 403
        assert f"{HOSTS_VARIABLE}=evil.example" in reason
        assert with_page(guard, "localhost:7860", X_Forwarded_Host="evil.example") is not None


def test_whoever_was_served_the_page_of_a_server_for_others_passes() -> None:
    phone = {"host": "192.168.1.5:7860", "peer": "192.168.1.9"}
    assert with_page(Guard(public=True), **phone) is None
    for guard in (Guard(public=True), Guard(public=True, tunnelled=True)):
        assert with_page(guard, "abc.gradio.live", X_Forwarded_For="8.8.8.8") is None
        tunnel = {"X_Forwarded_Host": "a.example", "Origin": "https://a.example"}
        assert with_page(guard, "127.0.0.1:7860", **tunnel) is None
        assert with_page(guard, "127.0.0.1:7860", Sec_Fetch_Site="cross-site") is not None
        assert with_page(guard, "127.0.0.1:7860", Origin="http://evil.example") is not None


def test_the_page_is_no_login() -> None:
    assert with_page(Guard(gradio_app=with_login()), "127.0.0.1:7860")[0] == 401


def test_a_login_passes_by_any_name_but_from_no_other_website() -> None:
    guard = Guard(gradio_app=with_login(), api_auth=("robot:a",))
    assert guard.refusal(caller(user="ann", Host="sd.example")) is None
    assert guard.refusal(caller(Authorization=basic("robot:a"), Host="sd.example")) is None
    assert guard.refusal(caller(user="ann", Sec_Fetch_Site="cross-site")) is not None


def test_a_wrong_token_opens_nothing() -> None:
    for token in ("", "x", TOKEN[:-1], TOKEN + "x", "é"):
        sent = Caller("8.8.8.8", Headers(Host="192.168.1.5"), None, token)
        assert Guard(public=True).refusal(sent) is not None


@pytest.mark.parametrize(
    ("headers", "peer", "token", "answered"),
    [
        ({"Host": "127.0.0.1:7860"}, "127.0.0.1", None, True),
        ({"Host": "evil.example"}, "127.0.0.1", TOKEN, False),
        ({"Host": "127.0.0.1", "Sec-Fetch-Site": "cross-site"}, "127.0.0.1", TOKEN, False),
        ({"Host": "192.168.1.5"}, "192.168.1.9", None, False),
        ({"Host": "192.168.1.5"}, "192.168.1.9", [TOKEN], False),
        ({"Host": "192.168.1.5"}, "192.168.1.9", TOKEN, True),
    ],
    # The token is another in every process, and pytest-xdist wants one name in all of them.
    ids=lambda value: "token" if value == TOKEN else None,
)
def test_an_event_is_asked_what_a_route_is(
    headers: dict[str, str], peer: str, token: Any, answered: bool
) -> None:
    app = with_login(auth=None)
    sent = SimpleNamespace(
        headers=Headers(headers), client=SimpleNamespace(host=peer), cookies={}, scope={"app": app}
    )
    reason = asyncio.run(event_refusal(SimpleNamespace(request=sent), token))
    assert (reason is None) == answered


def test_an_event_that_comes_through_the_queue_is_not_answered() -> None:
    assert asyncio.run(event_refusal(SimpleNamespace(request=None), TOKEN))

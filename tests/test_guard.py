"""Whom the routes serve, decided without a server."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace
from typing import Any

import pytest

from lib_gmi.guard import Caller, Guard
from lib_gmi.origin import HOSTS_VARIABLE

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

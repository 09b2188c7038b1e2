"""Only pages that this server itself has served may change something."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from lib_gmi.routes.origin import HOSTS_VARIABLE, allow, refusal

LOCAL, LOCAL_6, LAN = "127.0.0.1", "::1", "192.168.1.20"


class Headers(Mapping[str, str]):
    """Headers as a server hands them over: found whatever their case."""

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._rows = {name.lower(): value for name, value in rows.items()}

    def __getitem__(self, name: str) -> str:
        return self._rows[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def asked(host: str | None = "127.0.0.1:8188", **headers: str) -> Headers:
    """Headers of a request; ``sec_fetch_site`` stands for ``Sec-Fetch-Site``."""
    rows = {name.replace("_", "-"): value for name, value in headers.items()}
    return Headers(rows if host is None else {"host": host, **rows})


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOSTS_VARIABLE, raising=False)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8188",
        "127.0.0.1",
        "127.5.5.5:8188",
        "localhost:8188",
        "LOCALHOST:8188",
        "comfy.localhost:8188",
        "[::1]:8188",
        "[::1]",
    ],
)
@pytest.mark.parametrize("local", [LOCAL, LOCAL_6, None])
def test_the_page_of_this_server_may(host: str, local: str | None) -> None:
    assert refusal(asked(host), local) is None
    for origin in (f"http://{host}", f"HTTP://{host}", f"https://{host}"):
        assert refusal(asked(host, origin=origin), local) is None
        assert refusal(asked(host, origin=origin, sec_fetch_site="same-origin"), local) is None


def test_programs_that_send_no_origin_may() -> None:
    """curl and scripts; a browser that changes things sends one of the two headers."""
    assert refusal(asked(), LOCAL) is None
    assert refusal(asked(sec_fetch_site="none"), LOCAL) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://evil.example:8188",
        "http://127.0.0.1.evil.example:8188",
        "http://localhost:8188",  # another name for the same server is another origin
        "http://127.0.0.2:8188",
        "http://[::1]:8188",
        "http://127.0.0.1:8189",
        "http://127.0.0.1:8188@evil.example",
        "chrome-extension://abcdef",
    ],
)
@pytest.mark.parametrize("local", [LOCAL, LAN, None])
def test_another_origin_is_refused(origin: str, local: str | None) -> None:
    assert "not this server" in (refusal(asked(origin=origin), local) or "")


@pytest.mark.parametrize("origin", ["null", "", "file://"])
@pytest.mark.parametrize("local", [LOCAL, LAN, None])
def test_a_page_without_an_origin_is_refused_and_told_nothing_that_cannot_be_done(
    origin: str, local: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOSTS_VARIABLE, ",")
    reason = refusal(asked(origin=origin), local) or ""
    assert "without an origin of its own" in reason
    assert HOSTS_VARIABLE not in reason


@pytest.mark.parametrize("site", ["cross-site", "same-site", "Cross-Site", "anything"])
def test_what_the_browser_calls_cross_site_is_refused_even_without_an_origin(site: str) -> None:
    """``same-site`` is another port of this machine."""
    assert "other websites" in (refusal(asked(sec_fetch_site=site), LOCAL) or "")


def test_a_port_left_out_of_one_of_the_two_is_forgiven() -> None:
    assert refusal(asked("gpu.example", origin="https://gpu.example:443"), LAN) is None
    assert refusal(asked("gpu.example:443", origin="https://gpu.example"), LAN) is None
    assert refusal(asked("gpu.example:443", origin="https://gpu.example:444"), LAN) is not None


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8188", "gpu"])
@pytest.mark.parametrize("local", [LOCAL, "127.0.0.5", LOCAL_6, "::ffff:127.0.0.1"])
def test_a_name_that_only_pretends_to_be_this_machine_is_refused(host: str, local: str) -> None:
    """DNS rebinding: the page's own name leads here, so its origin and the host agree."""
    reason = refusal(asked(host, origin=f"http://{host}"), local)
    assert reason is not None
    assert HOSTS_VARIABLE in reason
    assert refusal(asked(host), local) == reason


@pytest.mark.parametrize("host", ["localhost.evil.example", "127.0.0.1.evil.example", "xlocalhost"])
def test_a_name_that_merely_looks_local_is_refused(host: str) -> None:
    assert refusal(asked(host, origin=f"http://{host}"), LOCAL) is not None


@pytest.mark.parametrize("host", [None, "", ":8188"])
def test_a_request_without_a_host_is_refused_where_only_this_machine_is_served(
    host: str | None,
) -> None:
    assert refusal(asked(host), LOCAL) is not None
    assert refusal(asked(host, origin="http://evil.example"), LAN) is not None


@pytest.mark.parametrize("host", ["192.168.1.20:8188", "gpu.lan:8188", "[fe80::1]:8188"])
def test_a_server_that_listens_to_the_network_is_asked_by_any_of_its_names(host: str) -> None:
    for local in (LAN, "fe80::1"):
        assert refusal(asked(host, origin=f"http://{host}"), local) is None
        assert refusal(asked(host, origin="http://evil.example"), local) is not None


@pytest.mark.parametrize(
    ("variable", "host"),
    [
        ("gpu.example", "gpu.example"),
        ("gpu.example", "GPU.example:443"),
        ("GPU.Example", "gpu.example"),
        (" a.example ,, gpu.example ", "gpu.example"),
    ],
)
def test_a_proxy_is_let_through_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    monkeypatch.setenv(HOSTS_VARIABLE, variable)
    assert refusal(asked(host, origin=f"https://{host}"), LOCAL) is None
    assert refusal(asked(host, origin="https://evil.example"), LOCAL) is not None
    assert refusal(asked("evil.example"), LOCAL) is not None
    assert refusal(asked(), LOCAL) is None, "the machine itself may still"


def test_an_empty_list_of_proxies_lets_nobody_through(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("", ",", " , "):
        monkeypatch.setenv(HOSTS_VARIABLE, variable)
        assert refusal(asked(None), LOCAL) is not None
        assert refusal(asked("evil.example"), LOCAL) is not None


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1:99999",
        "127.0.0.1:port",
        "127.0.0.1:-1",
        "[::1",
        "[::1]x:8188",
        "[zz]:8188",
        "ü:1",
    ],
)
@pytest.mark.parametrize("local", [LOCAL, LAN])
def test_headers_that_make_no_sense_are_refused_and_raise_nothing(name: str, local: str) -> None:
    assert refusal(asked(name, origin="http://127.0.0.1:8188"), local) is not None
    assert refusal(asked(origin=f"http://{name}"), local) is not None


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("https://gpu.example", "gpu.example"),
        ("https://gpu.example:8443/", "gpu.example:8443"),
        (" GPU.example:443 ", "gpu.example."),
        ("[2001:db8::7]:7860", "[2001:db8::7]:7860"),
        ("2001:db8::7", "[2001:DB8:0::7]:7860"),
        ("http://[::1, gpu.example", "gpu.example"),
    ],
)
def test_names_are_understood_as_people_write_them(
    monkeypatch: pytest.MonkeyPatch, allowed: str, host: str
) -> None:
    monkeypatch.setenv(HOSTS_VARIABLE, allowed)
    # by the origin alone too: an IP address is accepted as a host anyway
    assert refusal(asked(origin=f"https://{host}"), LOCAL) is None
    assert refusal(asked(host, origin=f"https://{host}"), LOCAL) is None
    assert refusal(asked("evil.example"), LOCAL) is not None


def test_names_of_the_hosts_own_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib_gmi.routes.origin._configured", [])
    assert refusal(asked("gpu.example"), LOCAL) is not None
    allow("https://gpu.example, other.example")
    assert refusal(asked("gpu.example"), LOCAL) is None
    assert refusal(asked("evil.example"), LOCAL) is not None


def test_a_tunnels_name_counts_as_one_that_was_asked_for() -> None:
    """A rebound page can write this header as well, so it only ever adds a name to check."""
    tunnel = {"x_forwarded_host": "abc.tunnel.example", "origin": "https://abc.tunnel.example"}
    assert HOSTS_VARIABLE in (refusal(asked(**tunnel), LOCAL) or "")
    assert refusal(asked(**tunnel), LOCAL, public=True) is None
    assert refusal(asked("evil.example", x_forwarded_host="127.0.0.1"), LOCAL) is not None
    assert refusal(asked(origin="http://evil.example"), LOCAL, public=True) is not None


@pytest.mark.parametrize("host", ["192.168.1.20:8188", "[fd00::5]:8188", "0.0.0.0:8188"])
@pytest.mark.parametrize("local", [LOCAL, LAN, None])
def test_no_website_has_an_address_for_its_name(host: str, local: str | None) -> None:
    assert refusal(asked(host, origin=f"http://{host}"), local) is None


def test_an_unknown_local_address_lets_no_name_in() -> None:
    assert refusal(asked("evil.example"), None) is not None
    assert refusal(asked("evil.example"), None, public=True) is None

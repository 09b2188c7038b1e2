"""What a request's JSON may hold is bounded before anything is made of it."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest

from lib_gmi.routes.serving import MAX_MARKS, parse


def test_ordinary_requests_are_read() -> None:
    picture = "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 4000).decode()
    body = {"images": [picture] * 8, "prompt": "a, b, " * 800, "top": 12, "n": -(2**63)}
    assert parse(json.dumps(body).encode()) == body
    assert parse(bytearray(json.dumps(body, ensure_ascii=False).encode("utf-16"))) == body


@pytest.mark.parametrize(
    "content",
    [
        b"[" + b"{}," * 400_000 + b"{}]",
        b"[" + b"[]," * 400_000 + b"[]]",
        b"[" + b"0," * 400_000 + b"0]",
        b"[" + b'"",' * 400_000 + b'""]',
        b"[" * 400_000,
        b'{"a":' * 400_000,
        ("[" + "{}," * 400_000 + "{}]").encode("utf-16"),
    ],
)
def test_a_request_of_too_many_values_takes_no_memory(content: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match="too many values"):
        parse(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    assert MAX_MARKS < 400_000


def test_a_number_of_a_million_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="digits"):
        parse(b'{"top": ' + b"1" * 1_000_000 + b"}")

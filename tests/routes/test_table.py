"""The table of routes agrees with its handlers."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from lib_gmi.base.errors import RequestError
from lib_gmi.routes import fields
from lib_gmi.routes.api import ROUTES, Api
from lib_gmi.routes.route import Route, route


@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row.method} {row.path}")
def test_a_handler_takes_the_fields_of_its_row(row: Route[Any]) -> None:
    inspect.signature(row.work).bind(None, **row.fields)
    assert getattr(Api, row.name) is row
    assert row.description.endswith(".")
    assert row.path.count("{") == sum(f"{{{key}}}" in row.path for key in row.fields)


def test_no_two_rows_have_one_address() -> None:
    assert len({(row.method, row.path) for row in ROUTES}) == len(ROUTES)


def test_a_row_checks_and_describes_what_is_sent() -> None:
    class Shop:
        @route("POST buy", "Buy", "`paid`.", what=fields.choice(["tea"]), n=fields.whole(1, 9))
        def buy(self, what: str, n: int) -> dict[str, Any]:
            """Buys something."""
            return {"paid": [what] * n}

    assert Shop().buy({"n": 2, "unknown": 5}) == {"paid": ["tea", "tea"]}
    for wrong in ({}, {"n": None}, {"n": 10}, {"n": 1, "what": "gin"}):
        with pytest.raises(RequestError, match=r"whole number from 1 to 9|Known: tea\."):
            Shop().buy(wrong)
    schema = Shop.buy.request()["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["n"]
    assert schema["properties"]["n"] == {"type": "integer", "minimum": 1, "maximum": 9}
    assert schema["properties"]["what"]["default"] == "tea"

"""Interrogators: what describes a query image, tried in the order that the user sets."""

from .describe import MAX_TEXT, Described, Interrogators
from .order import DEFAULT_ORDER, Query, order_from_environment, parse_order, row, rows

__all__ = [
    "DEFAULT_ORDER",
    "MAX_TEXT",
    "Described",
    "Interrogators",
    "Query",
    "order_from_environment",
    "parse_order",
    "row",
    "rows",
]

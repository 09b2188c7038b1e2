"""The web UI's settings page shows the user's own values, also while an image is made for us.

Options decide what an image shows, so ours are in their place for as long as one is generated. A
page that is opened just then would show ours, and store them as the user's with the next click.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from ..hosts.webui_options import lent_options

_OURS = "gmi_shows_the_users_own"


def register() -> None:
    """Put the user's own values into what the page asks for. To be called at each reload."""
    from modules import ui_settings

    original = getattr(ui_settings, "get_value_for_setting", None)
    if original is None or hasattr(original, _OURS):
        return

    @wraps(original)
    def value_for_setting(key: str) -> Any:
        update, lent = original(key), lent_options()
        if key in lent and isinstance(update, dict):
            return {**update, "value": lent[key]}
        return update

    setattr(value_for_setting, _OURS, True)
    ui_settings.get_value_for_setting = value_for_setting

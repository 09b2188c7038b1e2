"""Our settings in ComfyUI: the front end keeps them in a file of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..base.json_file import read_json
from ..base.text import number_of
from ..library.removed import DAYS_VARIABLE, SIZE_VARIABLE, Limits

#: Minutes, of the environment; it outdoes the setting.
VARIABLE = "GMI_IDLE_MINUTES"
#: Names of the settings, as in ``web/gmi/preferences.js``.
SETTING = "FindBestModel.IdleMinutes"
ALLOWED = "FindBestModel.AllowedHosts"
REMOVED_DAYS = "FindBestModel.RemovedDays"
REMOVED_MEGABYTES = "FindBestModel.RemovedMegabytes"
DEFAULT = 3.0
_LONGEST = 24 * 60.0


def idle_minutes() -> float:
    """Minutes without a prompt of somebody's before a build goes on; 0 for never wait."""
    told = os.environ.get(VARIABLE, "").strip()
    minutes = number_of(told if told else settings().get(SETTING))
    return DEFAULT if minutes is None else min(max(minutes, 0.0), _LONGEST)


def allowed_hosts() -> str:
    """Names under which this server may be reached; see :func:`..origin.allow`."""
    return str(settings().get(ALLOWED, "") or "")


def kept_aside() -> Limits:
    """What was removed or is damaged is kept so long; the environment outdoes the settings."""
    told, ours = os.environ, settings()
    days = told.get(DAYS_VARIABLE, ours.get(REMOVED_DAYS))
    return Limits.of(days, told.get(SIZE_VARIABLE, ours.get(REMOVED_MEGABYTES)))


def settings() -> dict[str, Any]:
    """Of the front end's user, or of whoever changed theirs last where there are several."""
    import folder_paths

    try:
        files = Path(folder_paths.get_user_directory()).glob("*/comfy.settings.json")
        newest = max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
    except OSError:
        return {}
    found = None if newest is None else read_json(newest)
    return found if isinstance(found, dict) else {}

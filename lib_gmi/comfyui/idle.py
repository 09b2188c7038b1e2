"""How long a build waits after somebody has generated something."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

#: Minutes, of the environment; it outdoes the setting.
VARIABLE = "GMI_IDLE_MINUTES"
#: The setting of the front end, which keeps it in a file of the user's.
SETTING = "FindBestModel.IdleMinutes"
DEFAULT = 3.0
_LONGEST = 24 * 60.0


def idle_minutes() -> float:
    """Minutes without a prompt of somebody's before a build goes on; 0 for never wait."""
    told = os.environ.get(VARIABLE, "").strip()
    return _number(told if told else settings().get(SETTING))


def _number(value: Any) -> float:
    try:
        minutes = float(value)
    except (TypeError, ValueError):
        return DEFAULT
    return min(max(minutes, 0.0), _LONGEST) if not math.isnan(minutes) else DEFAULT


def settings() -> dict[str, Any]:
    """Of the front end's user, or of whoever changed theirs last where there are several."""
    import folder_paths

    try:
        files = Path(folder_paths.get_user_directory()).glob("*/comfy.settings.json")
        newest = max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
        found = {} if newest is None else json.loads(newest.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

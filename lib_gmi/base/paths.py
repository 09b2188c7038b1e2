"""Where things live on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import LibraryError

#: Overrides the default library folder, for people and for tests.
LIBRARY_VARIABLE = "GMI_LIBRARY"


def default_library_folder() -> Path:
    """``$GMI_LIBRARY``, or the platform's data folder for this application.

    Never inside the extension's own folder, which a reinstall deletes. Hosts pass their own.
    """
    override = os.environ.get(LIBRARY_VARIABLE)
    if override:
        try:
            return Path(override).expanduser()
        except RuntimeError:  # ~somebody who does not exist
            raise LibraryError(
                f"{LIBRARY_VARIABLE}={override}: there is no such home folder."
            ) from None
    from platformdirs import user_data_path

    return user_data_path("gmi", appauthor=False) / "library"


def library_folder_in(folder: str) -> Path:
    """The library's place in a program's folder for data, or ``$GMI_LIBRARY``."""
    if os.environ.get(LIBRARY_VARIABLE):
        return default_library_folder()
    return Path(folder) / "gmi"


def remembered_files() -> Path:
    """Where the encoders of this machine's own files are noted: beside the default library.

    With ``$GMI_LIBRARY`` inside that folder. A file of notes, safe to delete.
    """
    name = "openclip-files.json"
    if os.environ.get(LIBRARY_VARIABLE):
        return default_library_folder() / name
    try:
        return default_library_folder().parent / name
    except ImportError:  # hosts ship no platformdirs, and pass a library folder of their own
        return Path.home() / ".gmi" / name


def data_folder() -> Path:
    """What ships with this program: prompts, priors, the embedded library."""
    return Path(__file__).parents[1] / "data"

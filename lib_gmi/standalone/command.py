"""``gmi ui``: the tab in a browser."""

from __future__ import annotations

import argparse
import contextlib
import threading
from pathlib import Path

from ..base.text import one_line
from ..library.catalogue import Library


def run(arguments: argparse.Namespace) -> int:
    """Serve the tab until the user presses Ctrl+C.

    Args:
        arguments: ``folder``, ``library``, ``port`` and ``browser``.

    Raises:
        GMIError: the folder, the library or the port cannot be used, or gradio is missing.
    """
    from . import desktop, server

    library = Library(arguments.library)
    folder: Path | None = arguments.folder
    bridge = desktop.of_library(library) if folder is None else desktop.of_folder(folder, library)
    bridge.api.service.advance_soon()  # the first question shall not wait for it
    page = server.serve(bridge, arguments.port, arguments.browser)
    print(one_line(f"Ranks {bridge.about}."))
    print(f"Open {page.address} in a browser. Press Ctrl+C to stop.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    page.close()
    return 0


def port(text: str) -> int:
    """A port that people may choose."""
    number = int(text)
    if not 1 <= number <= 65_535:
        raise argparse.ArgumentTypeError("must be from 1 to 65535")
    return number

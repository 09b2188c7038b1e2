"""``gmi ui``: the tab in a browser."""

from __future__ import annotations

import argparse
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..library.catalogue import Library
from .output import Output
from .parts import add_library_option


def add_parser(commands: Any) -> None:
    """Add the command."""
    ui = commands.add_parser(
        "ui",
        help="open the tab in a browser",
        description="Open the tab in a browser, on this machine only. With a folder of images "
        "(see gmi build) it builds from that; without one it ranks the library, or the 63 "
        "embedded models if the library is empty.",
    )
    ui.add_argument("folder", nargs="?", type=Path, help="folder with images/ and prompts.json")
    ui.add_argument("--port", type=_port, help="of the page (default: a free one)")
    ui.add_argument(
        "--no-browser", dest="browser", action="store_false", help="only print the address"
    )
    add_library_option(ui)
    ui.set_defaults(run=_serve)


def _serve(arguments: argparse.Namespace) -> Iterator[Output]:
    """Serve the tab until the user presses Ctrl+C."""
    from ..standalone import desktop, server

    library, folder = Library(arguments.library), arguments.folder
    bridge = desktop.of_library(library) if folder is None else desktop.of_folder(folder, library)
    bridge.api.service.snapshots.advance_soon()  # the first question shall not wait for it
    page = server.serve(bridge, arguments.port, arguments.browser)
    opened = f"Open {page.address} in a browser. Press Ctrl+C to stop."
    yield Output(text=[f"Ranks {bridge.about}.", opened])
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    page.close()


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65_535:
        raise argparse.ArgumentTypeError("must be from 1 to 65535")
    return number

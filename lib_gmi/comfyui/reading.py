"""Reading what a search goes through, inside a node: with ComfyUI's progress bar, to be stopped.

A request must not wait, so :class:`..searches.Searches` reads in a thread and lets faces ask again.
A node may take its time: the queue waits for it as it does for a sampler.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..search.index import FolderIndex

if TYPE_CHECKING:
    from ..search.query import Query
    from ..service.searches import Searches


class NodeProgress:
    """Progress of the node that runs, see :class:`..protocols.Progress`."""

    def __init__(self) -> None:
        self._bar: Any = None

    def update(self, done: int, total: int, message: str = "") -> None:
        """Show it.

        Raises:
            InterruptProcessingException: ComfyUI's own; what was read is stored by then.
        """
        import comfy.model_management as memory
        import comfy.utils

        if self._bar is None:
            self._bar = comfy.utils.ProgressBar(total)
        self._bar.update_absolute(done, total)
        memory.throw_exception_if_processing_interrupted()


def read(searches: Searches, query: Query, also_output: bool = False) -> None:
    """Read whatever a query goes through and has no vector yet.

    Args:
        searches: of the host.
        query: with a sketch, samples are read as line drawings, too.
        also_output: the images of ComfyUI's output folder as well; only those that are new there.

    Raises:
        InterruptProcessingException: ComfyUI's own.
        LibraryError: the library, or an index, cannot be read or stored.
        ImageError: the output folder cannot be listed.
        EncoderError: damaged weights.
        MissingExtraError: the weights are not installed.
    """
    searcher, progress = searches.searcher(), NodeProgress()
    searcher.read(False, progress)
    if "sketch" in query.parts:
        searcher.read(True, progress)
    folder = output_folder()
    if also_output and folder.is_dir():
        joint, home = searcher.joint, searches.service.home
        FolderIndex(home, folder, joint.id, joint.dim).update(joint, progress)


def output_folder() -> Path:
    """Where ComfyUI saves images."""
    import folder_paths

    return Path(folder_paths.get_output_directory())


def output_state() -> str:
    """Differs after a file came to the output folder, or went; looks at folders only."""
    stamps = []
    for place, below, _ in os.walk(output_folder()):
        below.sort()
        try:
            stamps.append(f"{place} {Path(place).stat().st_mtime_ns}")
        except OSError:
            continue  # gone meanwhile
    return "\n".join(stamps)

"""Which files a node's IMAGE was loaded from: a tensor has lost what the file says, but the
workflow knows the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..metadata import read_making
from .graphs import is_link

if TYPE_CHECKING:
    from ..metadata import Making

_LOADERS = ("LoadImage", "LoadImageOutput")
#: ComfyUI's own nodes after which an image is still the one that was loaded: smaller, larger, a
#: part of it, turned, or beside others. What any other node makes of it is another image.
_SAME = frozenset(
    {
        "FluxKontextImageScale",
        "ImageBatch",
        "ImageCrop",
        "ImageFlip",
        "ImageRotate",
        "ImageScale",
        "ImageScaleBy",
        "ImageScaleToMaxDimension",
        "ImageScaleToTotalPixels",
        "ResizeAndPadImage",
    }
)
_INPUTS = ("image", "images", "image1", "image2", "pixels")
#: Links from the node that asks to the one that loads.
_MOST_STEPS = 8


def makings(graph: Any, node_id: Any) -> list[Making | None]:
    """What the files behind a node's ``image`` say about their making.

    Args:
        graph: the workflow, of ComfyUI's hidden input ``PROMPT``; anything without one.
        node_id: of the node, of its hidden input ``UNIQUE_ID``.

    Returns:
        One for each file, in the order of the batch; nothing where no file can be told. Never
        raises: an answer does not depend on it.
    """
    if not isinstance(graph, Mapping):
        return []
    try:
        files = _files(graph, str(node_id), ("image",), set(), _MOST_STEPS)
        return [read_making(path) for path in files]
    except Exception:  # whatever is wrong with a workflow, its ranking still holds
        logging.debug("Find Best Model: no file was found behind an image", exc_info=True)
        return []


def _files(
    graph: Mapping[str, Any], node_id: str, names: tuple[str, ...], seen: set[str], steps: int
) -> Iterator[Path]:
    if steps == 0 or node_id in seen:
        return
    seen.add(node_id)
    inputs = graph[node_id]["inputs"]
    for link in (inputs.get(name) for name in names):
        if not is_link(graph, link):
            continue
        source = str(link[0])
        kind = graph[source]["class_type"]
        if kind in _LOADERS:
            yield _path(graph[source]["inputs"]["image"])
        elif kind in _SAME:
            yield from _files(graph, source, _INPUTS, seen, steps - 1)


def _path(name: str) -> Path:
    """Of a file as Load Image names it, perhaps with ``[output]`` behind it."""
    import folder_paths

    return Path(folder_paths.get_annotated_filepath(name))

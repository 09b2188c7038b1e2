"""The layout of GEMRec-18K (Guo et al., arXiv 2308.02205): 200 models × 90 prompts, one image each.

    <folder>/
      roster.csv                       optional: model_id, modelVersion_id, model_name,
                                       modelVersion_name, model_download_count, …
      generated/train/metadata.csv     file_name, model_id, modelVersion_id, prompt_id, prompt, …
      generated/train/<file_name>      the images

``metadata.csv`` may also lie in ``train/`` or in the folder itself. A model is named by both of its
ids: version ids alone are not unique (the original Stable Diffusions are numbered by hand).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lib_gmi.base.errors import HostError, SampleUnavailableError
from lib_gmi.base.images import open_image
from lib_gmi.records.prompts import Prompt, PromptSet
from lib_gmi.records.protocols import Candidate, GenerationRequest, GenerationSettings

if TYPE_CHECKING:
    from PIL import Image

_PLACES = ("generated/train", "train", ".")
_NEEDED = ("file_name", "model_id", "modelVersion_id", "prompt_id", "prompt")


def metadata_of(folder: Path) -> Path | None:
    """The ``metadata.csv`` of a folder in this layout, or ``None``."""
    return next((p for p in (folder / d / "metadata.csv" for d in _PLACES) if p.is_file()), None)


class GEMRecFolder:
    """Read-only, with what the benchmarks need of a host. See the module's docstring.

    Args:
        folder: as described there.

    Raises:
        HostError: there is no ``metadata.csv``, or it lacks columns or rows.
    """

    name = "gemrec"

    def __init__(self, folder: Path) -> None:
        metadata = metadata_of(folder)
        if metadata is None:
            raise HostError(f"{folder}: has no generated/train/metadata.csv.")
        self.folder = folder
        self._files: dict[str, dict[str, Path]] = {}
        texts: dict[str, str] = {}
        for row in _rows(metadata, _NEEDED):
            texts.setdefault(row["prompt_id"], row["prompt"])
            path = metadata.parent / row["file_name"]
            if path.resolve().parent != metadata.parent.resolve():
                raise HostError(f"{metadata}: '{row['file_name']}' lies outside of its folder.")
            self._files.setdefault(_key(row), {})[row["prompt_id"]] = path
        if not self._files:
            raise HostError(f"{metadata}: lists no images.")
        prompts = sorted(texts, key=lambda id_: (len(id_), id_))
        self.prompt_set = PromptSet(
            "gemrec-18k", "1", tuple(Prompt(id_, {"natural": texts[id_]}) for id_ in prompts)
        )
        self._titles, self.downloads = _roster(folder / "roster.csv")

    def list_checkpoints(self) -> list[Candidate]:
        """Every model that has images, by its ids."""
        return [
            Candidate(self._titles.get(key, key), f"gemrec:{key}", key)
            for key in sorted(self._files)
        ]

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        """Their files are the stored copies."""
        return GenerationSettings(codec="source")

    @contextmanager
    def session(self, candidate: Candidate) -> Iterator[_Session]:
        yield _Session(self._files[candidate.name])

    def files(self, candidate: Candidate) -> dict[str, Path]:
        """A model's image by prompt id."""
        return dict(self._files[candidate.name])


class _Session:
    def __init__(self, files: dict[str, Path]) -> None:
        self._files = files

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        path = self._files.get(request.prompt_id)
        if path is None or not path.is_file():
            raise SampleUnavailableError(f"There is no image of '{request.prompt_id}'.")
        return open_image(path)


def _roster(path: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Titles and download counts by model; a model has one row for each of its tags."""
    titles: dict[str, str] = {}
    downloads: dict[str, int] = {}
    if not path.is_file():
        return titles, downloads
    for row in _rows(path, ("model_id", "modelVersion_id", "model_name")):
        key = _key(row)
        version = row.get("modelVersion_name") or row["modelVersion_id"]
        titles[key] = f"{row['model_name']} {version}".strip()
        count = row.get("model_download_count") or ""
        if count.strip().isdigit():
            downloads[key] = int(count)
    return titles, downloads


def _key(row: dict[str, str]) -> str:
    return f"{row['model_id']}-{row['modelVersion_id']}"


def _rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise HostError(f"{path}: has no column '{missing[0]}'.")
            return [{k: v or "" for k, v in row.items() if k is not None} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HostError(f"{path}: cannot be read ({error}).") from None

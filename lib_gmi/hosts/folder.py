"""A folder of images as a host: how image sets become specifications, and how benchmarks run.

    <folder>/
      prompts.json                     [{"id": "...", "prompt": "..."}, ...]
      models.json                      optional: [{"id": "...", "family": "..."}, ...]
      images/<candidate>/<prompt id>.jpg (or .png, .webp)

It "generates" by opening the image that exists. It is the reference for the other hosts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import HostError, SampleUnavailableError
from ..base.images import IMAGE_SUFFIXES, open_image
from ..base.text import printable
from ..records.prompts import PromptSet
from ..records.protocols import Candidate, GenerationRequest, GenerationSettings

if TYPE_CHECKING:
    from PIL import Image


class FolderHost:
    """See the module's docstring.

    Args:
        folder: as described there.

    Raises:
        HostError: the folder has no ``images``.
        PromptSetError: ``prompts.json`` is missing or malformed.
    """

    name = "folder"

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._images = self.folder / "images"
        if not self._images.is_dir():
            raise HostError(
                f"{self.folder}: has no folder 'images'. Expected images/<candidate>/"
                "<prompt id>.jpg and prompts.json."
            )
        self.prompt_set = PromptSet.load(self.folder / "prompts.json")
        self._models = _read_models(self.folder / "models.json")
        self._left_out: frozenset[str] = frozenset()
        self._current: Candidate | None = None

    def leave_out(self, prompt_ids: Sequence[str]) -> None:
        """Act as if there were no images of these prompts.

        Raises:
            PromptSetError: a prompt is not in the set.
        """
        self._left_out |= {self.prompt_set.get(prompt_id).id for prompt_id in prompt_ids}

    def list_checkpoints(self) -> list[Candidate]:
        """Each folder in ``images``, by name."""
        ranks = {name: rank for rank, name in enumerate(self._models)}
        try:
            folders = sorted(
                path
                for path in self._images.iterdir()
                if path.is_dir() and not path.name.startswith(".")
            )
        except OSError as error:
            raise HostError(
                f"{self._images}: cannot be listed ({error.strerror or error})."
            ) from None
        return [
            Candidate(
                title=printable(path.name),
                identity=f"folder:{printable(path.name)}",
                name=printable(path.name),
                path=path,
                architecture=self._models.get(path.name, {}).get("family"),
                popularity=ranks.get(path.name),
                unsupported=None
                if path.name == printable(path.name)
                else "its name cannot be stored as text; rename the folder",
            )
            for path in folders
        ]

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        """Nothing is known of how the images were made; their files are the stored copies."""
        return GenerationSettings(codec="source")

    @contextmanager
    def session(self, candidate: Candidate) -> Iterator[_FolderSession]:
        folder = self._images / candidate.name
        if not folder.is_dir():
            raise HostError(f"{folder}: no such candidate.")
        yield _FolderSession(folder, self._left_out)

    def switch(self, candidate: Candidate) -> None:
        """Remember the candidate: a folder loads nothing.

        Raises:
            HostError: there is no such candidate.
        """
        if not (self._images / candidate.name).is_dir():
            raise HostError(f"{self._images / candidate.name}: no such candidate.")
        self._current = candidate

    def current(self) -> Candidate | None:
        return self._current

    def interrupted(self) -> bool:
        return False


class _FolderSession:
    def __init__(self, folder: Path, left_out: frozenset[str]) -> None:
        try:
            paths = sorted(folder.iterdir())
        except OSError as error:
            raise HostError(f"{folder}: cannot be listed ({error.strerror or error}).") from None
        self._files = {
            path.stem: path
            for path in paths
            if path.suffix.lower() in IMAGE_SUFFIXES and path.stem not in left_out
        }

    def prepare(self, requests: Sequence[GenerationRequest], settings: GenerationSettings) -> None:
        return None

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        path = self._files.get(request.prompt_id)
        if path is None:
            raise SampleUnavailableError(f"There is no image of '{request.prompt_id}'.")
        return open_image(path)


def _read_models(path: Path) -> dict[str, dict[str, Any]]:
    """models.json by id; its order stands for popularity where nothing better is known."""
    try:
        rows: Sequence[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        models = {str(row["id"]): dict(row) for row in rows}
        for model in models.values():
            if not isinstance(model.get("family"), str | None):
                raise TypeError(f"family of {model['id']} is not a text")
        return models
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise HostError(f"{path}: is not a list of models ({error}).") from None

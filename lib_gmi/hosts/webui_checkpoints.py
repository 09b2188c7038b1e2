"""The checkpoints of AUTOMATIC1111's web UI and its forks: which it lists, and what suits each.

Importing this module imports nothing of the web UI.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.errors import HostError
from ..records.protocols import Candidate
from . import webui_forks as forks
from .installed import FileHost, distinct, file_candidate
from .webui_samplers import host_sampler, host_samplers, host_schedulers, labels_of_words

if TYPE_CHECKING:
    from ..checkpoints.presets import Preset

#: Options that name folders of finished images.
_IMAGES = ("outdir_samples", "outdir_txt2img_samples", "outdir_save")
#: Seconds that a checkpoint may be missing from the web UI's list before it is gone.
_LISTING = 4.0


class WebUICheckpoints(FileHost):
    """The checkpoint files that the web UI lists. Args: see :class:`.FileHost`."""

    def __init__(self, folder: Path, sidecars: Callable[[], bool] = lambda: True) -> None:
        super().__init__(folder, sidecars)
        self._hashes: dict[str, str] = {}

    def list_checkpoints(self) -> list[Candidate]:
        """What the web UI lists. It looks for new files when people press its refresh button."""
        candidates = [self.candidate(info) for info in infos()]
        self.files.save()
        return distinct(candidates)

    def image_folders(self) -> list[Path]:
        """See :meth:`.service.candidates.InstalledHost.image_folders`."""
        from modules import paths_internal, shared

        # by attribute: what was never changed has its default there, and is not among the data
        chosen = [getattr(shared.opts, key, None) for key in _IMAGES]
        folders = [Path(paths_internal.script_path) / str(folder) for folder in chosen if folder]
        return [*dict.fromkeys(folders)]

    def preview_folders(self) -> list[Path]:
        """See :meth:`.service.candidates.InstalledHost.preview_folders`."""
        return [*dict.fromkeys(Path(info.filename).parent for info in infos())]

    def hashed(self) -> dict[str, str]:
        """``quick:…`` → ``sha256:…`` of the files whose whole hash the web UI knows by now."""
        return dict(self._hashes)

    def calculate_hash(self, name: str) -> None:
        """Let the web UI hash a checkpoint, which it does before it loads it anyway.

        Raises:
            HostError: the checkpoint is gone.
        """
        info = self.listed(name)
        try:
            info.calculate_shorthash()
        except OSError as error:
            raise HostError(f"{name}: cannot be read ({error.strerror or error}).") from None
        self.candidate(info)  # takes notice of it

    def preset(self, candidate: Candidate) -> Preset:
        """See :meth:`.FileHost.preset`; what suits this checkpoint and can be done here."""
        preset = super().preset(candidate)
        settings = preset.settings
        if host_sampler(settings.sampler) is not None:
            return preset
        # the closest relative of a sampler that this program lacks
        because = f"Euler instead of {settings.sampler}: {forks.program()} has no such sampler"
        settings = replace(settings, sampler="euler")
        return replace(preset, settings=settings, because=(*preset.because, because))

    def choices(self) -> dict[str, Any]:
        """The web UI's samplers and schedulers, those of other extensions included."""
        return {
            "samplers": host_samplers(),
            "schedulers": host_schedulers(),
            "labels": labels_of_words(),
        }

    def title_of(self, name: str) -> str:
        """How the web UI's own list calls a checkpoint now; that may change with its hash.

        Raises:
            HostError: it is gone.
        """
        return forks.listed_title(self.info(name))

    def path_of(self, name: str) -> Path:
        """The file of a checkpoint; cheap.

        Raises:
            HostError: it is gone.
        """
        return Path(self.info(name).filename)

    def is_bare(self, candidate: Candidate) -> bool:
        path = candidate.path
        return path is not None and forks.is_bare(self.files.facts(path), path)

    def candidate(self, info: Any) -> Candidate:
        path = Path(info.filename)
        candidate = file_candidate(self.files, str(info.name), path, self.sidecars())
        if candidate.identity.startswith("missing:"):
            return candidate
        known = _known_sha256(info)
        if known is not None:
            self._hashes[candidate.identity] = known
        return replace(
            candidate,
            identity=known or candidate.identity,
            unsupported=forks.unsupported(self.files.facts(path), path),
        )

    def listed(self, name: str) -> Any:
        """The web UI's record of a checkpoint; waits while its list is empty.

        It is empty while the web UI looks for new files.

        Raises:
            HostError: the checkpoint is gone.
        """
        late = time.monotonic() + _LISTING
        while time.monotonic() < late:
            with contextlib.suppress(HostError):
                return self.info(name)
            time.sleep(0.1)
        return self.info(name)

    def info(self, name: str) -> Any:
        for info in infos():
            if info.name == name:
                if not Path(info.filename).is_file():
                    break
                return info
        raise HostError(f"{name}: is not among the web UI's checkpoints any more.")


def infos() -> list[Any]:
    """The web UI's checkpoints, the first of each name.

    A copy: other threads rename entries when they know a hash. Names repeat where files of two
    folders have the same one; whoever asks by name gets the first of them.
    """
    from modules import sd_models

    found: dict[str, Any] = {}
    for info in dict(sd_models.checkpoints_list).values():
        found.setdefault(info.name, info)
    return list(found.values())


def _known_sha256(info: Any) -> str | None:
    """From the web UI's cache, which knows when a file was changed."""
    from modules import hashes

    known = hashes.sha256_from_cache(info.filename, f"checkpoint/{info.name}")
    return None if not known else f"sha256:{known}"

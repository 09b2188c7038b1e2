"""What hosts whose checkpoints are files have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from ..base.errors import HostError
from ..base.text import natural, printable
from ..checkpoints.file_index import FileIndex
from ..checkpoints.overrides import Overrides, apply
from ..checkpoints.presets import Preset, find
from ..records.protocols import Candidate, GenerationSettings

_EMPTY = "the file is empty (0 bytes); download it again"
#: What errors mean that come without a message.
_MEANINGS = {EOFError: "the file ends too early", MemoryError: "out of memory"}


class FileHost:
    """The settings that suit checkpoint files, for a host to derive from.

    Args:
        folder: where settings and caches are kept: the library's folder.
        sidecars: whether what lies beside a checkpoint's file tells which settings suit it.
    """

    def __init__(self, folder: Path, sidecars: Callable[[], bool] = lambda: True) -> None:
        self.files = FileIndex(folder / "files.json")
        self.overrides = Overrides(folder / "settings.json")
        self.sidecars = sidecars

    def preset(self, candidate: Candidate) -> Preset:
        """What suits this checkpoint, without the user's changes.

        Raises:
            HostError: it is not a file of this host.
        """
        if candidate.path is None:
            raise HostError(f"{candidate.title}: is not installed.")
        return find(self.files.facts(candidate.path), candidate.path, self.sidecars())

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        """The preset with the user's changes.

        Raises:
            HostError: it is not a file of this host.
        """
        changes = self.overrides.get(candidate.identity)
        return apply(self.preset(candidate).settings, changes)


def file_candidate(
    files: FileIndex, name: str, path: Path | None, sidecars: bool = True
) -> Candidate:
    """A checkpoint file as a candidate, known by its quick identity. Never raises.

    Args:
        files: remembers what was read.
        name: of the host, with the folder and the ending.
        path: the file; ``None`` if it is gone.
        sidecars: whether what lies beside it may tell its architecture.
    """
    title = title_of_file(name)
    shown = printable(title)
    if shown != title:
        reason = "its name is not valid text; rename the file"
        return Candidate(shown, f"missing:{shown}", shown, unsupported=reason)
    if path is None:
        return Candidate(title, f"missing:{name}", name, unsupported="the file is gone")
    try:
        size = path.stat().st_size
        if size == 0:
            return Candidate(title, f"missing:{name}", name, path, unsupported=_EMPTY)
        identity = files.identity(path)
    except (HostError, OSError) as error:
        return Candidate(title, f"missing:{name}", name, path, unsupported=str(error))
    facts = files.facts(path)
    architecture = facts.architecture
    if architecture is None and facts.unsupported is None:
        architecture = find(facts, path, sidecars).architecture
    return Candidate(title, identity, name, path, size, architecture, unsupported=facts.unsupported)


def title_of_file(name: str) -> str:
    """What people see of a host's name for a file: with the folder, without the ending."""
    return str(PurePath(name.replace("\\", "/")).with_suffix(""))


def distinct(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates as people see them listed: by name, in natural order.

    Titles that would repeat get the ending, which tells x.ckpt from x.safetensors.
    """
    titles = Counter(candidate.title for candidate in candidates)
    listed = [
        replace(candidate, title=candidate.name) if titles[candidate.title] > 1 else candidate
        for candidate in candidates
    ]
    return sorted(listed, key=lambda candidate: natural(candidate.title))


def unusable(title: str, error: Exception, program: str) -> HostError:
    """What to say when a program failed with a checkpoint, whatever it raised."""
    if "OutOfMemory" in type(error).__name__ or "out of memory" in str(error).lower():
        reason = "there is not enough memory for it; choose a smaller size in its settings"
    else:
        reason = f"{program} cannot use it"
    return HostError(f"{title}: {reason} ({first_line(error)}).")


def first_line(error: BaseException) -> str:
    """Of an error's message, cut; what its kind means, or is called, if it has none."""
    lines = str(error).strip().splitlines()
    meanings = (text for kind, text in _MEANINGS.items() if isinstance(error, kind))
    return (lines[0] if lines else next(meanings, type(error).__name__))[:200]

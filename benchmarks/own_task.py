"""The task that :mod:`.own_checkpoints` makes: what it holds, and how a host generates it.

M checkpoints × specification prompts, and evaluation prompts × seeds, which share neither prompts
nor seeds with them. The result is a folder that ``lib_gmi.hosts.folder.FolderHost`` reads, with a
``task.json`` beside it, which says which images are queries; ``paper.py`` reads it.

    <folder>/
      task.json        {"specifications": [ids], "queries": [{"id", "prompt_id", "seed"}], …}
      prompts.json     all of them: what FolderHost reads
      models.json      titles, identities, settings
      images/<candidate>/<id>.png
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib_gmi.base.errors import (
    GMIError,
    HostError,
    ImageError,
    PromptSetError,
    SampleUnavailableError,
)
from lib_gmi.base.files import write_atomic
from lib_gmi.base.images import to_rgb
from lib_gmi.records.prompts import PromptSet
from lib_gmi.records.protocols import Exclusion, GenerationRequest, Progress, SilentProgress
from lib_gmi.submitting.recorder import BASE_SEED

if TYPE_CHECKING:
    from lib_gmi.records.prompts import Prompt
    from lib_gmi.records.protocols import Candidate, GenerationSettings, Host, Session

VERSION = 1
#: Evaluation images draw seeds from here on; no specification's seed comes near.
EVALUATION_SEED = 1_000_000
#: Windows takes these for devices, whatever follows behind a dot.
_RESERVED = re.compile(r"con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]", re.IGNORECASE)
_TASK = "task.json"


@dataclass(frozen=True)
class Item:
    """One image of the task for each candidate.

    Attributes:
        id: in the folder; the prompt's own, with ``-seed<k>`` where it is drawn several times.
        prompt: what it shows.
        seed: the same for every candidate, so that equal noise makes equal content.
        query: whether it is a query; otherwise it builds specifications.
    """

    id: str
    prompt: Prompt
    seed: int
    query: bool


@dataclass
class CreateSummary:
    """What was done.

    Attributes:
        generated: images, in this run.
        kept: images that were there before.
        failed: candidates that could not be finished, and why.
        unavailable: images that the host could not make.
        cancelled: whether the user stopped it.
    """

    generated: int = 0
    kept: int = 0
    failed: list[Exclusion] = field(default_factory=list)
    unavailable: int = 0
    cancelled: bool = False


def evaluation_prompt_set() -> PromptSet:
    """The 16 prompts that ship for evaluation; the default set has none of them."""
    return PromptSet.load(Path(__file__).with_name("evaluation_prompts.json"))


def plan(specifications: PromptSet, evaluation: PromptSet, seeds: int) -> list[Item]:
    """Every image that each candidate makes, specification samples first.

    Raises:
        PromptSetError: a prompt is in both sets, by its id or by its words, or two images would
            have the same name.
    """
    words = {_words(prompt.text): prompt.id for prompt in specifications.prompts}
    for prompt in evaluation.prompts:
        same = words.get(_words(prompt.text))
        if prompt.id in specifications.ids or same is not None:
            raise PromptSetError(
                f"The evaluation prompt '{prompt.id}' is a specification prompt too"
                f"{f' (there it is called {same!r})' if same not in (None, prompt.id) else ''}. "
                "Queries must be of prompts that no specification has seen: take it out of one set."
            )
    items = [
        Item(prompt.id, prompt, BASE_SEED + i, query=False)
        for i, prompt in enumerate(specifications.prompts)
    ]
    for i, prompt in enumerate(evaluation.prompts):
        for k in range(seeds):
            id_ = prompt.id if seeds == 1 else f"{prompt.id}-seed{k + 1}"
            items.append(Item(id_, prompt, EVALUATION_SEED + i * seeds + k, query=True))
    ids = [item.id for item in items]
    for id_ in ids:
        if ids.count(id_) > 1 or not _safe(id_) == id_:
            raise PromptSetError(f"'{id_}' cannot name an image file, or names two. Rename it.")
    return items


def create(
    host: Host,
    folder: Path,
    specifications: PromptSet,
    evaluation: PromptSet,
    seeds: int = 1,
    candidates: Sequence[Candidate] | None = None,
    progress: Progress | None = None,
) -> CreateSummary:
    """Generate what is missing. Stop it whenever you like: it goes on where it stopped.

    Args:
        host: any.
        folder: where the benchmark goes. One that has a task already must have the same.
        specifications: prompts that build specifications.
        evaluation: prompts of the queries.
        seeds: images of each evaluation prompt.
        candidates: of the host; all by default.
        progress: told after every image.

    Raises:
        PromptSetError: the sets overlap.
        HostError: the folder holds another task, or the candidate's images are of other settings.
        LibraryError: the folder cannot be written. What was generated before is kept.
    """
    items = plan(specifications, evaluation, seeds)
    chosen = list(host.list_checkpoints() if candidates is None else candidates)
    summary = CreateSummary()
    for candidate in (c for c in chosen if c.unsupported):
        summary.failed.append(Exclusion(candidate.title, str(candidate.unsupported)))
    chosen = [candidate for candidate in chosen if not candidate.unsupported]
    names = _folder_names(chosen)
    _write_task(folder, items)
    reporter = progress or SilentProgress()
    total, done = len(items) * len(chosen), 0
    for candidate, name in zip(chosen, names, strict=True):
        place = folder / "images" / name
        missing = [item for item in items if not (place / f"{item.id}.png").is_file()]
        summary.kept += len(items) - len(missing)
        done += len(items) - len(missing)
        reporter.update(done, total, candidate.title)
        if not missing or summary.cancelled:
            continue
        if host.interrupted():
            summary.cancelled = True
            continue
        try:
            settings = host.default_settings(candidate)
            _write_model(folder, name, candidate, settings)
            with host.session(candidate) as session:
                job = _Job(host, session, settings, specifications, evaluation, place)
                for count, made in enumerate(job.run(missing, summary), done + 1):
                    reporter.update(count, total, f"{candidate.title} · {made}")
        except (HostError, ImageError, PromptSetError) as error:
            summary.failed.append(Exclusion(candidate.title, str(error)))
        done += len(missing)
    return summary


@dataclass(frozen=True)
class _Job:
    """One candidate that is loaded."""

    host: Host
    session: Session
    settings: GenerationSettings
    specifications: PromptSet
    evaluation: PromptSet
    place: Path

    def run(self, missing: Sequence[Item], summary: CreateSummary) -> Any:
        """Generate and store one image after the other; yields their ids."""
        requests = [self._request(item) for item in missing]
        self.session.prepare(requests, self.settings)
        for item, request in zip(missing, requests, strict=True):
            try:
                image = to_rgb(self.session.generate(request, self.settings), item.id)
            except SampleUnavailableError:
                summary.unavailable += 1
                continue
            if self.host.interrupted():  # hosts hand out half-denoised images then
                summary.cancelled = True
                return
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            write_atomic(self.place / f"{item.id}.png", buffer.getvalue())
            summary.generated += 1
            yield item.id

    def _request(self, item: Item) -> GenerationRequest:
        prompts = self.evaluation if item.query else self.specifications
        rendering = prompts.render(item.prompt, self.settings.dialect)
        prefix = str(self.settings.extra.get("prefix", ""))
        negative = self.settings.negative or rendering.negative
        # a folder's host knows its images by the prompt's own id
        return GenerationRequest(item.prompt.id, prefix + rendering.text, negative, item.seed)


def _write_task(folder: Path, items: Sequence[Item]) -> None:
    task = {
        "version": VERSION,
        "specifications": [item.id for item in items if not item.query],
        "queries": [
            {"id": item.id, "prompt_id": item.prompt.id, "seed": item.seed}
            for item in items
            if item.query
        ],
    }
    prompts = [{"id": item.id, "prompt": item.prompt.text} for item in items]
    for name, content in ((_TASK, task), ("prompts.json", prompts)):
        path = folder / name
        if path.is_file():
            if _read(path) != content:
                raise HostError(f"{path}: holds another task. Choose an empty folder.")
            continue
        write_atomic(path, _json(content))
    (folder / "images").mkdir(exist_ok=True)


def _write_model(
    folder: Path, name: str, candidate: Candidate, settings: GenerationSettings
) -> None:
    """Note how a candidate's images are generated; refuse to mix two ways."""
    path = folder / "models.json"
    rows = _read(path) if path.is_file() else []
    row = {
        "id": name,
        "title": candidate.title,
        "identity": candidate.identity,
        "family": candidate.architecture,
        "settings": json.loads(json.dumps(settings.to_json())),
    }
    for known in rows:
        if known["id"] == name and known != row:
            if (known["identity"], known["settings"]) == (row["identity"], row["settings"]):
                break  # a title may change
            raise HostError(
                f"{path}: '{name}' was generated by another checkpoint or with other settings. "
                f"Remove {folder / 'images' / name} and its entry to generate it again."
            )
    else:
        if all(known["id"] != name for known in rows):
            write_atomic(path, _json([*rows, row]))


def _folder_names(candidates: Sequence[Candidate]) -> list[str]:
    """A folder for each candidate, named after it."""
    names: list[str] = []
    for candidate in candidates:
        stem = _safe(Path(candidate.name).with_suffix("").as_posix().replace("/", "--"))
        if Path(candidate.name).suffix.lower() not in (".safetensors", ".ckpt", ".sft", ".gguf"):
            stem = _safe(candidate.name.replace("/", "--"))
        if stem.casefold() in (name.casefold() for name in names):
            raise HostError(f"Two candidates would share the folder '{stem}'. Rename one.")
        names.append(stem)
    return names


def _safe(name: str) -> str:
    """A name that every system takes for a folder."""
    plain = re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(". ")[:120].rstrip(". ") or "_"
    return f"_{plain}" if _RESERVED.fullmatch(plain.partition(".")[0].rstrip()) else plain


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise HostError(f"{path}: cannot be read ({error}).") from None


def read_task(folder: Path) -> tuple[list[str], list[str]] | None:
    """The specification and query ids of a folder with a ``task.json``, or ``None`` without one.

    Raises:
        GMIError: it is malformed.
    """
    path = folder / _TASK
    if not path.is_file():
        return None
    task = _read(path)
    try:
        specifications = [str(id_) for id_ in task["specifications"]]
        queries = [str(query["id"]) for query in task["queries"]]
    except (KeyError, TypeError) as error:
        raise GMIError(f"{path}: is not a task ({type(error).__name__}: {error}).") from None
    return specifications, queries

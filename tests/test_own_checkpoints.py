"""``own_checkpoints create``: the paper's protocol from a host; it resumes, nothing overlaps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import TINY, picture, prompt_set, write_image_folder
from PIL import Image

from benchmarks.own_checkpoints import main
from benchmarks.own_task import CreateSummary, create, evaluation_prompt_set, plan, read_task
from benchmarks.papers.bench import Bench
from benchmarks.papers.scores import learned_with, score_table
from lib_gmi.base.errors import GMIError, HostError, PromptSetError
from lib_gmi.hosts.folder import FolderHost
from lib_gmi.ranking.kernels import Params
from lib_gmi.records.prompts import Prompt, PromptSet, default_prompt_set
from lib_gmi.records.protocols import Candidate, GenerationRequest, GenerationSettings


class StandInHost:
    """Draws pictures by candidate, prompt and seed; can be stopped after some."""

    name = "stand-in"

    def __init__(self, stop_after: int | None = None, steps: int = 20) -> None:
        self.requests: list[tuple[str, GenerationRequest]] = []
        self.loads: list[str] = []
        self.stop_after = stop_after
        self.steps = steps
        self.broken: set[str] = set()

    def list_checkpoints(self) -> Sequence[Candidate]:
        return [
            Candidate("Alpha [12ab]", "sha256:a", "sd/alpha.safetensors", architecture="sdxl"),
            Candidate("Beta", "sha256:b", "beta.ckpt"),
            Candidate("Old", "sha256:c", "old.pt", unsupported="it is no checkpoint"),
        ]

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        return GenerationSettings(steps=self.steps, width=32, height=32)

    @contextmanager
    def session(self, candidate: Candidate) -> Iterator[StandInSession]:
        self.loads.append(candidate.title)
        if candidate.title in self.broken:
            raise HostError(f"{candidate.title}: does not load.")
        yield StandInSession(self, candidate)

    def switch(self, candidate: Candidate) -> None:
        raise AssertionError("a benchmark switches nothing")

    def current(self) -> Candidate | None:
        return None

    def interrupted(self) -> bool:
        return self.stop_after is not None and len(self.requests) > self.stop_after


class StandInSession:
    """One candidate of the stand-in."""

    def __init__(self, host: StandInHost, candidate: Candidate) -> None:
        self.host, self.candidate = host, candidate

    def prepare(self, requests: Sequence[GenerationRequest], settings: GenerationSettings) -> None:
        return None

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        self.host.requests.append((self.candidate.title, request))
        style = 0 if self.candidate.title.startswith("Alpha") else 1
        return picture(style, request.seed)


SPECS = prompt_set(5)
QUERIES = PromptSet("queries", "1", (Prompt("dog", {"natural": "a dog"}),
                                     Prompt("cup", {"natural": "a cup"})))  # fmt: skip


def test_everything_is_generated_once_and_nothing_overlaps(tmp_path: Path) -> None:
    host = StandInHost()
    summary = create(host, tmp_path, SPECS, QUERIES, seeds=3)
    assert (summary.generated, summary.kept, summary.cancelled) == (2 * (5 + 6), 0, False)
    assert [e.title for e in summary.failed] == ["Old"]
    specifications, queries = read_task(tmp_path) or ([], [])
    assert specifications == list(SPECS.ids)
    assert len(queries) == 6
    assert not set(specifications) & set(queries)
    task = json.loads((tmp_path / "task.json").read_text())
    assert {q["prompt_id"] for q in task["queries"]} == {"dog", "cup"}
    seeds = [request.seed for title, request in host.requests if title == "Beta"]
    assert len(set(seeds)) == 11, "no seed twice, none shared by a specification and a query"
    by_candidate = [[r.seed for t, r in host.requests if t == title] for title in host.loads]
    assert by_candidate[0] == by_candidate[1], "equal noise for every candidate"
    assert host.loads == ["Alpha [12ab]", "Beta"], "each is loaded once"
    assert sorted(p.name for p in (tmp_path / "images").iterdir()) == ["beta", "sd--alpha"]


def test_what_was_stopped_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = create(StandInHost(stop_after=4), tmp_path, SPECS, QUERIES)
    assert first.cancelled
    assert first.generated == 4, "the image during which it was stopped is thrown away"
    host = StandInHost()
    second = create(host, tmp_path, SPECS, QUERIES)
    assert (second.generated, second.kept) == (10, 4)
    assert len(host.requests) == 10
    third = create(again := StandInHost(), tmp_path, SPECS, QUERIES)
    assert (third.generated, third.kept, again.loads) == (0, 14, [])


def test_the_benchmarks_read_what_was_made(tmp_path: Path) -> None:
    create(StandInHost(), tmp_path, SPECS, QUERIES, seeds=3)
    bench = Bench(tmp_path, None, TINY, draws=20, quiet=True)
    group = bench.group("all")
    assert group.stack.mask.shape == (2, 11)
    assert len(group.tasks(1)) == 12
    table = score_table(group.stack, learned_with(Params()), "none", splits=group.splits)
    assert (group.tasks(1).ranks(table) == 1).mean() > 0.9
    assert [c.architecture for c in bench.features.candidates] == [None, "sdxl"]


def test_sets_that_overlap_are_refused() -> None:
    with pytest.raises(PromptSetError, match="'p00' is a specification prompt too"):
        plan(SPECS, prompt_set(2), seeds=1)
    renamed = PromptSet("q", "1", (Prompt("mine", {"natural": "Picture  number 3!"}),))
    with pytest.raises(PromptSetError, match="there it is called 'p03'"):
        plan(SPECS, renamed, seeds=1)
    clash = PromptSet(
        "q", "1", (Prompt("a", {"natural": "x"}), Prompt("a-seed1", {"natural": "y"}))
    )
    assert len(plan(SPECS, clash, seeds=2)) == 9
    path = PromptSet("q", "1", (Prompt("a/../b", {"natural": "x"}),))
    with pytest.raises(PromptSetError, match="cannot name an image file"):
        plan(SPECS, path, seeds=1)


def test_another_task_or_other_settings_are_not_mixed_in(tmp_path: Path) -> None:
    create(StandInHost(stop_after=2), tmp_path, SPECS, QUERIES)
    with pytest.raises(HostError, match="holds another task"):
        create(StandInHost(), tmp_path, SPECS, QUERIES, seeds=2)
    other = create(StandInHost(steps=30), tmp_path, SPECS, QUERIES)
    assert "with other settings" in next(e.reason for e in other.failed if e.title != "Old")


def test_a_candidate_that_fails_stops_nobody_else(tmp_path: Path) -> None:
    host = StandInHost()
    host.broken.add("Alpha [12ab]")
    summary = create(host, tmp_path, SPECS, QUERIES)
    assert {e.title: e.reason for e in summary.failed}["Alpha [12ab]"].endswith("does not load.")
    assert summary.generated == 7


def test_a_malformed_task_is_named(tmp_path: Path) -> None:
    assert read_task(tmp_path) is None
    (tmp_path / "task.json").write_text('{"queries": []}')
    with pytest.raises(GMIError, match=r"task\.json: is not a task"):
        read_task(tmp_path)


def test_the_shipped_evaluation_prompts_share_nothing_with_the_default_ones() -> None:
    evaluation = evaluation_prompt_set()
    assert len(evaluation) == 16
    assert len(plan(default_prompt_set(), evaluation, seeds=2)) == 55 + 32
    for dialect in default_prompt_set().dialects:
        for prompt in evaluation.prompts:
            assert evaluation.render(prompt, dialect).text


def test_the_command_splits_a_folders_prompts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_image_folder(tmp_path / "in", ["alpha", "beta"], prompts=6)
    out = tmp_path / "out"
    arguments = ["create", str(out), "--host", f"folder:{images}", "--queries", "3"]
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {**vars(CreateSummary(generated=12)), "failed": []}
    assert read_task(out) == (["p01", "p02", "p04", "p05"], ["p00", "p03"])
    assert len(FolderHost(out).list_checkpoints()) == 2
    assert main(arguments) == 0
    assert "0 images generated, 12 were there" in capsys.readouterr().out


def test_the_command_says_which_hosts_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["create", str(tmp_path), "--host", "invokeai"]) == 2
    assert "or folder:DIR with images/" in capsys.readouterr().err

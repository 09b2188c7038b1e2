"""The submitting stage: breadth-first, resumable, and never stopped by one candidate's trouble."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from conftest import (
    OTHER_WORDS,
    OTHER_WORDS_DIM,
    SOURCE_ROOT,
    TinyEncoder,
    assert_same_specification,
    picture,
    prompt_set,
    tiny_encoder,
    words_encoder,
    write_image_folder,
)
from PIL import Image

from lib_gmi.base.errors import GMIError, HostError, LibraryError, SampleUnavailableError
from lib_gmi.base.images import open_image, through_codec
from lib_gmi.encoders import load
from lib_gmi.hosts.folder import FolderHost
from lib_gmi.library.catalogue import Library
from lib_gmi.records.prompts import Dialect, PromptSet
from lib_gmi.records.protocols import (
    Candidate,
    Encoder,
    GenerationRequest,
    GenerationSettings,
    Session,
)
from lib_gmi.records.specification import Specification
from lib_gmi.records.specification_file import to_bytes
from lib_gmi.submitting.recorder import BASE_SEED, Recorder
from lib_gmi.submitting.submit import Builder, BuildSummary, format_duration


@dataclass
class RecordingHost:
    """A host that draws smooth pictures and writes down what it was asked for.

    Attributes:
        titles: of its checkpoints.
        draw: (title, prompt id) → image; it may raise what hosts raise.
        stop_after: the user interrupts while this many-th image is generated.
        asked: (title, prompt id) of every request, in order.
        requests: the requests themselves.
        prepared: prompt ids that a session was told of, a list for each session.
        log: titles of checkpoints as they are loaded and put back.
    """

    titles: Sequence[str] = ("Alpha", "Beta", "Gamma")
    draw: Callable[[str, str], Image.Image] | None = None
    stop_after: int | None = None
    settings: GenerationSettings = field(default_factory=GenerationSettings)
    unsupported: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    requests: list[GenerationRequest] = field(default_factory=list)
    prepared: list[list[str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    name: str = "recording"

    def list_checkpoints(self) -> list[Candidate]:
        return [
            Candidate(title, f"sha256:{title}", title, unsupported=self.unsupported.get(title))
            for title in self.titles
        ]

    def default_settings(self, candidate: Candidate) -> GenerationSettings:
        return self.settings

    @contextmanager
    def session(self, candidate: Candidate) -> Iterator[Session]:
        self.log.append(f"load {candidate.title}")
        try:
            yield RecordingSession(self, candidate.title)
        finally:
            self.log.append(f"put back {candidate.title}")

    def switch(self, candidate: Candidate) -> None:
        raise HostError("not needed here")

    def current(self) -> Candidate | None:
        return None

    def interrupted(self) -> bool:
        return self.stop_after is not None and len(self.asked) >= self.stop_after


@dataclass
class RecordingSession:
    """A loaded checkpoint of :class:`RecordingHost`."""

    host: RecordingHost
    title: str

    def prepare(self, requests: Sequence[GenerationRequest], settings: GenerationSettings) -> None:
        self.host.prepared.append([request.prompt_id for request in requests])

    def generate(self, request: GenerationRequest, settings: GenerationSettings) -> Image.Image:
        self.host.asked.append((self.title, request.prompt_id))
        self.host.requests.append(request)
        if self.host.draw is not None:
            return self.host.draw(self.title, request.prompt_id)
        return drawn(self.title, request.prompt_id)


def drawn(title: str, prompt_id: str) -> Image.Image:
    """The picture that the checkpoint makes of the prompt."""
    return picture(sum(map(ord, title)), int(prompt_id[1:]))


@dataclass
class RecordingProgress:
    """Writes down what it is told."""

    reports: list[tuple[int, int, str]] = field(default_factory=list)

    def update(self, done: int, total: int, message: str = "") -> None:
        self.reports.append((done, total, message))


@pytest.fixture
def library(library_folder: Path) -> Library:
    """An empty library."""
    return Library(library_folder)


def build(
    host: RecordingHost,
    library: Library,
    prompts: PromptSet | None = None,
    encoder: Encoder | None = None,
    limit: int | None = None,
) -> BuildSummary:
    """Build everything that is missing."""
    builder = Builder(host, Recorder(prompts or prompt_set(6), library, encoder or tiny_encoder()))
    return builder.build(limit=limit)


def stored(library: Library) -> dict[str, Specification]:
    """What a fresh look at the library finds, by title."""
    return {s.candidate.title: s for s in Library(library.folder).snapshot().specifications}


def samples(library: Library) -> dict[str, int]:
    """How many samples are stored, by title."""
    return {title: len(specification) for title, specification in stored(library).items()}


# -- order ----------------------------------------------------------------------------------------


def test_builds_go_breadth_first_in_passes_of_4_8_16_and_all(library: Library) -> None:
    host = RecordingHost(("Alpha", "Beta"))
    ids = prompt_set(20).ids
    summary = build(host, library, prompt_set(20))
    assert host.asked == [
        (title, prompt_id)
        for start, stop in itertools.pairwise((0, 4, 8, 16, 20))
        for title in ("Alpha", "Beta")
        for prompt_id in ids[start:stop]
    ]
    assert (summary.samples, summary.complete) == (40, ["Alpha", "Beta"])
    assert samples(library) == {"Alpha": 20, "Beta": 20}


def test_a_checkpoint_is_loaded_once_a_pass_and_put_back_each_time(library: Library) -> None:
    host = RecordingHost(("Alpha", "Beta"))
    build(host, library, prompt_set(6))
    once = ["load Alpha", "put back Alpha", "load Beta", "put back Beta"]
    assert host.log == once * 2


def test_every_checkpoint_draws_a_prompt_from_the_same_noise(library: Library) -> None:
    host = RecordingHost(("Alpha", "Beta"))
    build(host, library, prompt_set(6))
    seeds = {(request.prompt_id, request.seed) for request in host.requests}
    assert seeds == {(id_, BASE_SEED + i) for i, id_ in enumerate(prompt_set(6).ids)}
    assert stored(library)["Beta"].seeds == tuple(range(BASE_SEED, BASE_SEED + 6))


def test_what_is_stored_is_the_encoding_of_the_image_after_its_codec(library: Library) -> None:
    host = RecordingHost(("Alpha",), settings=GenerationSettings(codec="webp60-16"))
    build(host, library)
    plain = tiny_encoder().encode_images([drawn("Alpha", "p02")])[0]
    image = through_codec(drawn("Alpha", "p02"), "webp60-16")
    features = tiny_encoder().encode_images([image])[0].astype(np.float16).astype(np.float32)
    assert np.array_equal(stored(library)["Alpha"].features[2], features)
    assert not np.array_equal(features, plain.astype(np.float16).astype(np.float32))


def test_the_prompt_is_spoken_in_the_checkpoints_dialect(library: Library) -> None:
    dialects = {
        "loud": Dialect("natural", "LOUD ", "silence"),
        "natural": Dialect("natural", "", ""),
    }
    prompts = replace(prompt_set(4), dialects=dialects)
    host = RecordingHost(("Alpha",), settings=GenerationSettings(dialect="loud"))
    build(host, library, prompts)
    assert host.requests[0].text == "LOUD picture number 0"
    assert host.requests[0].negative == "silence"


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (4, 4), (5, 5), (6, 6), (99, 6)])
def test_a_limit_takes_only_the_first_prompts(library: Library, limit: int, expected: int) -> None:
    host = RecordingHost(("Alpha", "Beta"))
    summary = build(host, library, limit=limit)
    assert samples(library) == {"Alpha": expected, "Beta": expected}
    assert summary.complete == ["Alpha", "Beta"]


def test_only_the_candidates_asked_for_are_built(library: Library) -> None:
    host = RecordingHost()
    chosen = host.list_checkpoints()[1:2]
    Builder(host, Recorder(prompt_set(6), library, tiny_encoder())).build(chosen)
    assert samples(library) == {"Beta": 6}


# -- resuming and cancelling ----------------------------------------------------------------------


def test_a_second_build_generates_only_what_is_missing(library: Library) -> None:
    build(RecordingHost(("Alpha",)), library, limit=4)
    host = RecordingHost(("Alpha", "Beta"))
    build(host, library)
    assert ("Alpha", "p03") not in host.asked
    assert sorted(host.asked) == [
        ("Alpha", "p04"),
        ("Alpha", "p05"),
        *[("Beta", id_) for id_ in prompt_set(6).ids],
    ]
    third = RecordingHost(("Alpha", "Beta"))
    assert build(third, library).samples == 0
    assert third.asked == third.log == [], "nothing is loaded when nothing is missing"


def test_an_interrupted_and_resumed_build_equals_one_without_interruption(
    library: Library, tmp_path: Path
) -> None:
    for stop_after in (3, 1, 7, None):
        build(RecordingHost(stop_after=stop_after), library)
    whole = Library(tmp_path / "whole")
    build(RecordingHost(), whole)
    for title, specification in stored(whole).items():
        resumed = replace(stored(library)[title], updated=specification.updated)
        assert_same_specification(resumed, specification)


@pytest.mark.parametrize("stop_after", [1, 3, 4, 5, 11])
def test_cancelling_keeps_finished_samples_and_discards_the_interrupted_image(
    library: Library, stop_after: int
) -> None:
    """Hosts hand out half-denoised images when they are interrupted."""
    host = RecordingHost(stop_after=stop_after)
    summary = build(host, library)
    assert summary.cancelled
    assert len(host.asked) == stop_after, "nothing is generated after the interruption"
    assert summary.samples == sum(samples(library).values()) == stop_after - 1
    assert len(host.log) % 2 == 0, "what was loaded is put back"
    title, prompt_id = host.asked[-1]
    if title in stored(library):
        assert prompt_id not in stored(library)[title].done


def test_a_build_that_is_interrupted_before_it_starts_loads_nothing(library: Library) -> None:
    host = RecordingHost(stop_after=0)
    summary = build(host, library)
    assert summary.cancelled
    assert host.log == []
    assert summary.partial == ["Alpha", "Beta", "Gamma"]


def test_a_checkpoint_under_a_new_title_is_the_same_checkpoint(library: Library) -> None:
    build(RecordingHost(("Alpha",)), library)

    @dataclass
    class RenamingHost(RecordingHost):
        def list_checkpoints(self) -> list[Candidate]:
            return [Candidate("Alpha [1a2b3c]", "sha256:Alpha", "Alpha")]

    host = RenamingHost()
    build(host, library)
    assert host.asked == []
    assert samples(library) == {"Alpha [1a2b3c]": 6}


# -- trouble --------------------------------------------------------------------------------------


def _fails_for(title: str, error: Exception, after: int = 0) -> Callable[[str, str], Image.Image]:
    def draw(asked: str, prompt_id: str) -> Image.Image:
        if asked == title and int(prompt_id[1:]) >= after:
            raise error
        return drawn(asked, prompt_id)

    return draw


def test_a_candidate_that_fails_never_stops_the_others(library: Library) -> None:
    host = RecordingHost(draw=_fails_for("Beta", HostError("out of memory"), after=2))
    summary = build(host, library)
    assert [(e.title, e.reason) for e in summary.failed] == [("Beta", "out of memory")]
    assert summary.complete == ["Alpha", "Gamma"]
    assert samples(library) == {"Alpha": 6, "Beta": 2, "Gamma": 6}
    assert host.log.count("load Beta") == host.log.count("put back Beta") == 1, "not tried again"


def test_a_candidate_that_failed_goes_on_in_the_next_build(library: Library) -> None:
    build(RecordingHost(draw=_fails_for("Beta", HostError("x"), after=2)), library)
    build(RecordingHost(), library)
    assert samples(library) == {"Alpha": 6, "Beta": 6, "Gamma": 6}


def test_a_candidate_that_cannot_be_loaded_never_stops_the_others(library: Library) -> None:
    @dataclass
    class LoadingFails(RecordingHost):
        @contextmanager
        def session(self, candidate: Candidate) -> Iterator[Session]:
            if candidate.title == "Alpha":
                raise HostError("the file is damaged")
            with super().session(candidate) as session:
                yield session

    summary = build(LoadingFails(), library)
    assert [(e.title, e.reason) for e in summary.failed] == [("Alpha", "the file is damaged")]
    assert samples(library) == {"Beta": 6, "Gamma": 6}


class AfraidOfRed(TinyEncoder):
    """Answers a red image with something that no specification can hold."""

    def __init__(self, answer: float) -> None:
        super().__init__(tiny_encoder().id, TinyEncoder.DIM)
        self.answer = answer

    def encode_batch(self, images: Sequence[Image.Image]) -> np.ndarray:
        rows = super().encode_batch(images)
        red = [image.getpixel((0, 0)) == (255, 0, 0) for image in images]
        rows[red] = self.answer
        return rows


def _red_corner(title: str, prompt_id: str) -> Image.Image:
    image = drawn(title, prompt_id)
    if title == "Beta":
        image.putpixel((0, 0), (255, 0, 0))
    return image


@pytest.mark.parametrize(
    "answer", [pytest.param(np.nan, id="NaN"), pytest.param(1e30, id="too large for float16")]
)
def test_features_that_cannot_be_stored_fail_their_candidate_only(
    library: Library, answer: float
) -> None:
    summary = build(RecordingHost(draw=_red_corner), library, encoder=AfraidOfRed(answer))
    assert [e.title for e in summary.failed] == ["Beta"]
    assert samples(library) == {"Alpha": 6, "Gamma": 6}


def test_a_dialect_that_the_prompt_set_does_not_speak_fails_its_candidate_only(
    library: Library,
) -> None:
    @dataclass
    class Polyglot(RecordingHost):
        def default_settings(self, candidate: Candidate) -> GenerationSettings:
            return GenerationSettings(dialect="pony" if candidate.title == "Beta" else "natural")

    summary = build(Polyglot(), library)
    assert [e.title for e in summary.failed] == ["Beta"]
    assert "pony" in summary.failed[0].reason
    assert samples(library) == {"Alpha": 6, "Gamma": 6}


def test_settings_that_the_host_cannot_tell_fail_their_candidate_only(library: Library) -> None:
    @dataclass
    class Forgetful(RecordingHost):
        def default_settings(self, candidate: Candidate) -> GenerationSettings:
            if candidate.title == "Beta":
                raise HostError("its configuration is missing")
            return super().default_settings(candidate)

    summary = build(Forgetful(), library)
    assert [e.title for e in summary.failed] == ["Beta"]
    assert samples(library) == {"Alpha": 6, "Gamma": 6}


def test_unsupported_candidates_are_skipped_with_the_reason(library: Library) -> None:
    host = RecordingHost(unsupported={"Beta": "video models are not supported yet"})
    summary = build(host, library)
    reasons = [(e.title, e.reason) for e in summary.skipped]
    assert reasons == [("Beta", "video models are not supported yet")]
    assert samples(library) == {"Alpha": 6, "Gamma": 6}


def test_samples_that_the_host_cannot_make_are_passed_over_and_counted(library: Library) -> None:
    def draw(title: str, prompt_id: str) -> Image.Image:
        if prompt_id in ("p01", "p05"):
            raise SampleUnavailableError("no such image")
        return drawn(title, prompt_id)

    host = RecordingHost(("Alpha",), draw=draw)
    summary = build(host, library)
    assert summary.unavailable == 2
    assert summary.complete == ["Alpha"], "it has every sample that the host can give"
    assert samples(library) == {"Alpha": 4}
    assert len(host.asked) == 6, "each is tried once a build"


def test_a_full_disk_stops_the_build_and_keeps_what_is_stored(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = itertools.count()
    original = os.replace

    def full_disk(source: str, target: str) -> None:
        if next(calls) >= 5:
            raise OSError(28, "No space left on device")
        original(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(LibraryError, match="the disk is full"):
        build(RecordingHost(), library)
    monkeypatch.undo()
    assert sum(samples(library).values()) == 5


def test_a_file_of_a_newer_version_fails_its_candidate_only(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(RecordingHost(("Beta",)), library, limit=1)
    (path,) = library.specifications_folder.glob("*.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr("lib_gmi.records.specification_file.SCHEMA", (9, 0))
        path.write_bytes(to_bytes(stored(library)["Beta"]))
    newer = path.read_bytes()
    summary = build(RecordingHost(), Library(library.folder))
    assert [e.title for e in summary.failed] == ["Beta"]
    assert "newer version" in summary.failed[0].reason
    assert summary.complete == ["Alpha", "Gamma"]
    assert path.read_bytes() == newer


# -- broken output --------------------------------------------------------------------------------


def _black() -> Image.Image:
    return Image.new("RGB", (64, 64))


def _flat() -> Image.Image:
    return Image.new("RGB", (64, 64), (120, 130, 140))


def _noise() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("broken", "reason"), [(_black, "black"), (_flat, "flat"), (_noise, "noise")]
)
def test_a_candidate_with_two_broken_samples_is_suspect_and_not_generated_further(
    library: Library, broken: Callable[[], Image.Image], reason: str
) -> None:
    def draw(title: str, prompt_id: str) -> Image.Image:
        return broken() if title == "Beta" and prompt_id != "p00" else drawn(title, prompt_id)

    host = RecordingHost(draw=draw)
    summary = build(host, library)
    assert [(e.title, e.reason) for e in summary.suspect] == [
        ("Beta", f"2 broken samples ({reason})")
    ]
    assert [prompt_id for title, prompt_id in host.asked if title == "Beta"] == [
        "p00",
        "p01",
        "p02",
    ]
    assert summary.complete == ["Alpha", "Gamma"]
    assert samples(library) == {"Alpha": 6, "Beta": 1, "Gamma": 6}
    again = RecordingHost(draw=draw)
    assert [e.title for e in build(again, library).suspect] == ["Beta"]
    assert again.asked == [], "the next build does not try it again"


def test_one_broken_sample_is_left_out_and_not_generated_again(library: Library) -> None:
    def draw(title: str, prompt_id: str) -> Image.Image:
        return _black() if prompt_id == "p02" else drawn(title, prompt_id)

    summary = build(RecordingHost(("Alpha",), draw=draw), library)
    specification = stored(library)["Alpha"]
    assert "p02" not in specification.prompt_ids
    assert [(r.prompt_id, r.seed, r.reason) for r in specification.rejected] == [
        ("p02", BASE_SEED + 2, "black")
    ]
    assert (summary.samples, summary.complete, summary.suspect) == (5, ["Alpha"], [])
    again = RecordingHost(("Alpha",), draw=draw)
    build(again, library)
    assert again.asked == []


# -- progress -------------------------------------------------------------------------------------


def test_progress_counts_every_sample_and_estimates_the_time_left(library: Library) -> None:
    build(RecordingHost(("Alpha",)), library, limit=2)
    progress = RecordingProgress()
    host = RecordingHost(("Alpha", "Beta"))
    Builder(host, Recorder(prompt_set(6), library, tiny_encoder()), progress=progress).build()
    assert [(done, total) for done, total, _ in progress.reports] == [(i, 10) for i in range(11)]
    messages = [message for *_, message in progress.reports]
    assert messages[0] == ""
    assert all(
        message.startswith(f"{title} · {prompt_id} · about ") and message.endswith(" left")
        for message, (title, prompt_id) in zip(messages[1:], host.asked, strict=True)
    )


def test_the_time_left_follows_the_pace_so_far(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(step=30.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    progress = RecordingProgress()
    host = RecordingHost(("Alpha",))
    Builder(host, Recorder(prompt_set(6), library, tiny_encoder()), progress=progress).build()
    left = [message.rpartition(" · ")[2] for *_, message in progress.reports[1:]]
    assert left[0] == "about 2 min left", "one of six took 30 seconds"
    assert left[-1] == "about 1 s left"


def test_progress_reaches_its_end_even_if_the_host_cannot_make_some_samples(
    library: Library,
) -> None:
    def draw(title: str, prompt_id: str) -> Image.Image:
        if prompt_id in ("p01", "p05"):
            raise SampleUnavailableError("no such image")
        return drawn(title, prompt_id)

    progress = RecordingProgress()
    host = RecordingHost(draw=draw)
    Builder(host, Recorder(prompt_set(6), library, tiny_encoder()), progress=progress).build()
    done, total, _ = progress.reports[-1]
    assert done == total


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "about 1 s"),
        (40.4, "about 40 s"),
        (89.4, "about 89 s"),
        (90, "about 2 min"),
        (180, "about 3 min"),
        (89 * 60, "about 89 min"),
        (130 * 60, "about 2 h 10 min"),
        (3 * 3600 + 40, "about 3 h 01 min"),
        (30 * 3600, "about 30 h 00 min"),
    ],
)
def test_durations_are_told_as_people_say_them(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


# -- prompt embeddings ----------------------------------------------------------------------------


def _embeddings(
    prompts: PromptSet, ids: Sequence[str], encoder: Encoder | None = None
) -> np.ndarray:
    rows = words_encoder().encode_texts([prompts.get(id_).text for id_ in ids])
    return rows.astype(np.float16).astype(np.float32)


def test_a_session_hears_of_all_its_requests_before_the_first(library: Library) -> None:
    host = RecordingHost(("Alpha",))

    build(host, library, prompts=prompt_set(6))

    assert host.prepared == [["p00", "p01", "p02", "p03"], ["p04", "p05"]]


def test_samples_are_kept_beside_the_specification(library: Library) -> None:
    host = RecordingHost(("Alpha",), settings=GenerationSettings(codec="webp90-16"))
    build(host, library, prompts=prompt_set(4))
    (entry,) = library.entries()

    found = [library.samples.find(Path(entry.file).stem, f"p{i:02d}", 1000 + i) for i in range(4)]

    for number, path in enumerate(found):
        assert path is not None
        expected = through_codec(drawn("Alpha", f"p{number:02d}"), "webp90-16")
        assert open_image(path).tobytes() == expected.tobytes()
    library.remove([entry])
    assert not any(path.exists() for path in found if path)
    assert len(list((library.folder / "removed").rglob("*.webp"))) == 4


def test_a_prefix_of_the_settings_comes_before_the_prompt(library: Library) -> None:
    host = RecordingHost(("Alpha",), settings=GenerationSettings(extra={"prefix": "film still, "}))

    build(host, library, prompts=prompt_set(4))

    assert [r.text for r in host.requests] == [f"film still, picture number {i}" for i in range(4)]


def test_prompts_are_embedded_where_there_is_a_text_encoder(library: Library) -> None:
    prompts = prompt_set(6)
    Builder(RecordingHost(), Recorder(prompts, library, tiny_encoder(), words_encoder())).build()
    for specification in stored(library).values():
        assert specification.text_encoder_id == words_encoder().id
        expected = _embeddings(prompts, specification.prompt_ids)
        assert np.array_equal(specification.prompt_embeddings, expected)


def test_a_text_encoder_added_later_embeds_what_was_stored_before(library: Library) -> None:
    prompts = prompt_set(6)
    build(RecordingHost(), library, prompts, limit=4)
    assert all(s.prompt_embeddings is None for s in stored(library).values())
    host = RecordingHost()
    Builder(host, Recorder(prompts, library, tiny_encoder(), words_encoder())).build()
    assert len(host.asked) == 6, "no image is generated for it"
    for specification in stored(library).values():
        expected = _embeddings(prompts, specification.prompt_ids)
        assert np.array_equal(specification.prompt_embeddings, expected)


def test_a_library_that_is_complete_gets_its_embeddings_without_loading_a_checkpoint(
    library: Library,
) -> None:
    prompts = prompt_set(6)
    build(RecordingHost(), library, prompts)
    host = RecordingHost()
    Builder(host, Recorder(prompts, library, tiny_encoder(), words_encoder())).build()
    assert host.log == []
    assert all(s.prompt_embeddings is not None for s in stored(library).values())


def test_building_on_without_the_text_encoder_loses_no_samples(library: Library) -> None:
    prompts = prompt_set(6)
    Builder(RecordingHost(), Recorder(prompts, library, tiny_encoder(), words_encoder())).build(
        limit=4
    )
    summary = build(RecordingHost(), library, prompts)
    assert summary.complete == ["Alpha", "Beta", "Gamma"]
    assert samples(library) == {"Alpha": 6, "Beta": 6, "Gamma": 6}
    Builder(RecordingHost(), Recorder(prompts, library, tiny_encoder(), words_encoder())).build()
    for specification in stored(library).values():
        assert specification.prompt_embeddings is not None


def test_building_on_with_another_text_encoder_leaves_embeddings_of_one_kind(
    library: Library,
) -> None:
    prompts = prompt_set(6)
    Builder(RecordingHost(), Recorder(prompts, library, tiny_encoder(), words_encoder())).build(
        limit=4
    )
    other = words_encoder(OTHER_WORDS, OTHER_WORDS_DIM)
    summary = Builder(RecordingHost(), Recorder(prompts, library, tiny_encoder(), other)).build()
    assert summary.failed == []
    assert samples(library) == {"Alpha": 6, "Beta": 6, "Gamma": 6}
    for specification in stored(library).values():
        if specification.prompt_embeddings is not None:
            assert specification.prompt_embeddings.shape == (6, OTHER_WORDS_DIM)
            assert specification.text_encoder_id == other.id


# -- a folder of images as the host ---------------------------------------------------------------


def test_a_folder_of_images_becomes_specifications(library: Library, tmp_path: Path) -> None:
    host = FolderHost(write_image_folder(tmp_path / "images", ["Alpha", "Beta"]))
    Builder(host, Recorder(host.prompt_set, library, tiny_encoder())).build()
    features = tiny_encoder().encode_images([picture(1, 3)]).astype(np.float16)
    assert np.array_equal(stored(library)["Beta"].features[3], features[0].astype(np.float32))
    assert samples(library) == {"Alpha": 6, "Beta": 6}


def test_prompts_can_be_left_out_of_a_folder(library: Library, tmp_path: Path) -> None:
    host = FolderHost(write_image_folder(tmp_path / "images", ["Alpha"]))
    host.leave_out(["p01", "p04"])
    summary = Builder(host, Recorder(host.prompt_set, library, tiny_encoder())).build()
    assert stored(library)["Alpha"].prompt_ids == ("p00", "p02", "p03", "p05")
    assert summary.unavailable == 2
    with pytest.raises(GMIError, match="p99"):
        host.leave_out(["p99"])


def test_a_folder_can_be_switched_to_what_is_in_it_and_to_nothing_else(tmp_path: Path) -> None:
    host = FolderHost(write_image_folder(tmp_path / "images", ["Alpha"]))
    (alpha,) = host.list_checkpoints()
    assert host.current() is None
    host.switch(alpha)
    assert host.current() == alpha
    with pytest.raises(HostError, match="no such candidate"):
        host.switch(replace(alpha, name="Beta"))
    with (
        pytest.raises(HostError, match="no such candidate"),
        host.session(replace(alpha, name="Beta")),
    ):
        pass


def test_models_json_tells_architecture_and_popularity(tmp_path: Path) -> None:
    folder = write_image_folder(tmp_path / "images", ["Alpha", "Beta"])
    (folder / "models.json").write_text('[{"id": "Beta", "family": "sdxl"}]')
    alpha, beta = FolderHost(folder).list_checkpoints()
    assert (beta.architecture, beta.popularity) == ("sdxl", 0)
    assert (alpha.architecture, alpha.popularity) == (None, None)


@pytest.mark.parametrize("models", ["{", "5", "[5]", '{"a": 1}', '[{"family": "sdxl"}]'])
def test_a_models_json_that_is_no_list_of_models_is_named(tmp_path: Path, models: str) -> None:
    folder = write_image_folder(tmp_path / "images", ["Alpha"])
    (folder / "models.json").write_text(models)
    with pytest.raises(HostError, match=r"models\.json"):
        FolderHost(folder)


def test_one_unreadable_image_is_named_and_costs_nothing_but_itself(
    library: Library, tmp_path: Path
) -> None:
    folder = write_image_folder(tmp_path / "images", ["Alpha", "Beta"])
    (folder / "images" / "Alpha" / "p02.png").write_bytes(b"damaged")
    host = FolderHost(folder)
    summary = Builder(host, Recorder(host.prompt_set, library, tiny_encoder())).build()
    (problem,) = summary.unreadable
    assert problem.title == "Alpha"
    assert "p02.png" in problem.reason
    assert summary.failed == []
    assert samples(library) == {"Alpha": 5, "Beta": 6}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode")
def test_a_folder_whose_name_is_no_text_never_stops_the_others(
    library: Library, tmp_path: Path
) -> None:
    """Names from old archives are bytes in some other encoding."""
    odd = os.fsdecode(b"caf\xe9")
    host = FolderHost(write_image_folder(tmp_path / "images", ["Alpha", odd, "Beta"]))
    summary = Builder(host, Recorder(host.prompt_set, library, tiny_encoder())).build()
    assert {"Alpha", "Beta"} <= set(summary.complete)
    assert len(summary.complete) + len(summary.failed) + len(summary.skipped) == 3
    assert {"Alpha", "Beta"} <= set(samples(library))


# -- killed twenty times --------------------------------------------------------------------------

KILLS = 20
CANDIDATES, PROMPTS = ("Alpha", "Beta", "Gamma", "Delta"), 45

_DRIVER = """
import sys, time
from contextlib import contextmanager
from lib_gmi.encoders import load
from lib_gmi.hosts.folder import FolderHost
from lib_gmi.library.catalogue import Library
from lib_gmi.submitting.recorder import Recorder
from lib_gmi.submitting.submit import Builder

class SlowSession:
    def __init__(self, session):
        self.session = session

    def prepare(self, requests, settings):
        pass

    def generate(self, request, settings):
        print(request.prompt_id, flush=True)
        time.sleep(0.002)
        return self.session.generate(request, settings)

class SlowHost(FolderHost):
    @contextmanager
    def session(self, candidate):
        with super().session(candidate) as session:
            yield SlowSession(session)

host = SlowHost(sys.argv[1])
encoder = load("pixels/32x32")
summary = Builder(host, Recorder(host.prompt_set, Library(sys.argv[2]), encoder)).build()
assert "torch" not in sys.modules, "this test counts on an encoder that starts quickly"
print("finished", len(summary.complete), flush=True)
"""


def _started(driver: Path, folder: Path, library: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(driver), str(folder), str(library)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(SOURCE_ROOT), *sys.path))},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL, and its pipes keep lines back")
def test_a_build_killed_twenty_times_equals_one_without_interruption(
    library: Library, tmp_path: Path
) -> None:
    """Nothing that was stored is lost, and each kill costs at most the image in progress."""
    folder = write_image_folder(tmp_path / "images", CANDIDATES, PROMPTS)
    driver = tmp_path / "driver.py"
    driver.write_text(_DRIVER, encoding="utf-8")
    rng = random.Random(20)
    generated = kept = 0
    for _ in range(KILLS):
        with _started(driver, folder, library.folder) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(rng.randrange(1, 8))]
            time.sleep(rng.uniform(0, 0.012))
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        generated += sum(line.startswith("p") and line.endswith("\n") for line in lines)
        now = sum(samples(library).values())
        assert now >= kept, "no stored sample is lost"
        assert generated - now <= KILLS
        kept = now
    assert 0 < kept < len(CANDIDATES) * PROMPTS, "the kills hit a build in progress"
    with _started(driver, folder, library.folder) as process:
        output = process.communicate(timeout=60)[0].split()
    assert output[-2:] == ["finished", str(len(CANDIDATES))]
    generated += len(output) - 2
    assert generated <= len(CANDIDATES) * PROMPTS + KILLS, "at most one image redone per kill"

    whole = Library(tmp_path / "whole")
    host = FolderHost(folder)
    Builder(host, Recorder(host.prompt_set, whole, load("pixels/32x32"))).build()
    for title, specification in stored(whole).items():
        survivor = replace(stored(library)[title], updated=specification.updated)
        assert_same_specification(survivor, specification)
    report = Library(library.folder).verify()
    assert report.good == tuple(sorted(CANDIDATES))
    assert report.damaged == report.unreadable == ()
    names = {path.suffix for path in library.specifications_folder.iterdir()}
    assert names == {".safetensors"}, "half-written files are tidied up"

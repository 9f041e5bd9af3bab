"""The segmenter's training: loss, augmentation and evaluation against slow loops; an interrupted run ends alike."""

from __future__ import annotations

import json
import math
import shutil
import signal
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image

import segmenters
from gandissect.core.images import from_uint8
from gandissect.core.sampling import make_rng
from gandissect.core.types import Concept
from gandissect.storage import runs
from gandissect.storage.files import load_tensors
from segmenters import recipes
from segmenters.augmentation import NO_AUGMENTATION, Augmentation, add_noise, augment, blur, recolor, shrink, warp
from segmenters.datasets import LabeledPictures
from segmenters.datasets.combining import groups_of
from segmenters.evaluation import Evaluation, confusion_matrix, evaluate
from segmenters.images import reduce_and_enlarge
from segmenters.losses import concept_weights, segmentation_loss
from segmenters.palette import PaletteSegmenter
from segmenters.training import SegmenterSettings, SegmenterTraining, learning_rate, sample_order, train_segmenter
from segmenters.unet import FORMAT, VERSION, UNetArchitecture

CONCEPTS = (Concept(0, "sky", (0, 0, 255)), Concept(1, "road", (90, 90, 90)), Concept(2, "tree", (0, 160, 0)))


class Stripes:
    """Pictures of horizontal stripes painted in the concepts' colors; the first column is unlabeled."""

    name, size, concepts = "stripes", 32, CONCEPTS

    def __init__(self, count: int = 12, shown: Sequence[int] = (0, 1, 2)) -> None:
        self.count, self.shown = count, tuple(shown)

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> LabeledPictures:
        rows = [torch.randint(len(self.shown), (4,), generator=make_rng(0, "stripes", index)) for index in indices]
        labels = torch.stack(
            [torch.tensor(self.shown)[row].repeat_interleave(8)[:, None].repeat(1, 32) for row in rows]
        )
        colors = torch.tensor([concept.color for concept in CONCEPTS], dtype=torch.uint8)
        images = colors[labels].permute(0, 3, 1, 2)
        labels[:, :, 0] = -1
        return LabeledPictures(images, labels)


def settings(num_steps: int = 6, **changes: object) -> SegmenterSettings:
    small = {"batch_size": 4, "architecture": UNetArchitecture("resnet18", (8, 8, 8), 32), "seed": 3}
    return SegmenterSettings(num_steps=num_steps, **{**small, **changes})


# --- settings and schedule


def test_settings_survive_json():
    given = settings(9, augmentation=Augmentation(min_crop=0.7), precision="float32")
    assert SegmenterSettings.from_json(json.loads(json.dumps(given.to_json()))) == given
    with pytest.raises(ValueError, match="must be the settings"):
        SegmenterSettings.from_json({**given.to_json(), "lr": 1})


LIMITS = {  # by class: least and greatest value, and the nearest that are out of range
    SegmenterSettings: {
        "num_steps": (1, 10**9, 0, 1.5),
        "batch_size": (2, 10**6, 1, 2.5),
        "seed": (-(10**20), 10**20, 1.5, "7"),
        "learning_rate": (1e-12, 1, 0, math.nextafter(1, 2)),
        "warmup": (0, 0.999, -1e-9, 1),
        "weight_decay": (0, 1e9, -1e-9, math.inf),
        "dice_weight": (0, 1e9, -1e-9, math.inf),
        "balance": (0, 1e9, -1e-9, math.inf),
        "ema_half_life": (1e-9, 1e12, 0, math.inf),
    },
    Augmentation: {
        "min_crop": (1e-9, 1, 0, 1.001),
        "max_aspect": (1, 1e9, 0.999, math.inf),
        "max_degrees": (0, 180, -1e-9, 180.5),
        "color": (0, 1, -1e-9, 1.001),
        "small": (0, 1, -1e-9, 1.001),
        "min_small": (1, 10**6, 0, 1.5),
        "blur": (0, 1, -1e-9, 1.001),
        "max_sigma": (0, 100, -1e-9, 100.5),
        "max_noise": (0, 1e9, -1e-9, math.inf),
    },
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, limits in LIMITS.items() for name in limits])
def test_a_number_out_of_range_is_named_alone(kind, name):
    least, greatest, *wrong = LIMITS[kind][name]
    for value in (least, greatest):
        kind(**{name: value})
    for value in (*wrong, math.nan, None, True, "1"):
        with pytest.raises(ValueError) as refusal:
            kind(**{name: value})
        message = str(refusal.value)
        assert message.startswith(f"{name} (--{name.replace('_', '-')}) must be a")
        assert message.endswith(f"; got {value!r}")
        assert not any(other in message for other in LIMITS[kind] if other not in name), "no other one is printed"


def test_every_number_has_a_test():
    for kind, limits in LIMITS.items():
        assert {field.name for field in fields(kind) if type(field.default) in (int, float)} == limits.keys()


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (SegmenterSettings, {"precision": "fp8"}, "precision"),
        (SegmenterSettings, {"architecture": "unet"}, "architecture must be of class UNetArchitecture; got 'unet'"),
        (SegmenterSettings, {"augmentation": None}, "augmentation must be of class Augmentation; got None"),
        (UNetArchitecture, {"encoder": "hf-hub:x"}, "encoder .* must name .*; got 'hf-hub:x'"),
        (UNetArchitecture, {"decoder_channels": (8, 8)}, r"decoder_channels .*three to five .*; got \(8, 8\)"),
        (UNetArchitecture, {"decoder_channels": (8, 8, 0)}, r"decoder_channels .*in \[1, 1024\]; got \(8, 8, 0\)"),
        (UNetArchitecture, {"decoder_channels": 8}, "decoder_channels .*; got 8"),
        (UNetArchitecture, {"input_size": 100}, "input_size .*multiple of 32 up to 4096, or None; got 100"),
        (UNetArchitecture, {"input_size": math.nan}, "input_size .*; got nan"),
    ],
)
def test_other_settings_are_named_with_what_is_allowed(kind, changes, message):
    with pytest.raises((ValueError, KeyError, TypeError), match=message):
        kind(**changes)


def test_learning_rate_rises_then_falls_to_nothing():
    given = SegmenterSettings(num_steps=200, warmup=0.1, learning_rate=0.5)
    rates = [learning_rate(given, step) for step in range(201)]
    assert max(rates) == rates[19] == rates[20] == 0.5
    assert rates[0] == 0.5 / 20 and rates[200] == 0
    assert rates[110] == pytest.approx(0.25)
    assert all(a <= b for a, b in pairwise(rates[:20]))
    assert all(a >= b for a, b in pairwise(rates[20:]))


@pytest.mark.parametrize(("length", "batch"), [(7, 3), (5, 12), (4, 4)])
def test_every_epoch_shows_every_picture_once(length, batch):
    draws = [index for step in range(3 * length) for index in sample_order(length, step * batch, batch, 1)]
    epochs = [draws[start : start + length] for start in range(0, len(draws) - length + 1, length)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert draws == sample_order(length, 0, len(draws), 1)


# --- loss


def test_loss_is_what_the_formula_says():
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=rng)
    labels = torch.randint(-1, 5, (2, 4, 5), generator=rng)  # 3 and 4 are the groups
    groups, weights = ((0, 2), (1, 2)), torch.tensor([0.5, 1.0, 4.0])
    total, mass = 0.0, 0.0
    own, predicted, area = [0.0] * 3, [0.0] * 3, [0.0] * 3
    for b in range(2):
        for y in range(4):
            for x in range(5):
                scores = [math.exp(logits[b, c, y, x]) for c in range(3)]
                p = [score / sum(scores) for score in scores]
                label = int(labels[b, y, x])
                if label < 0:
                    continue
                members = (label,) if label < 3 else groups[label - 3]
                w = float(weights[members[0]])
                total, mass = total - w * math.log(sum(p[c] for c in members)), mass + w
                if label < 3:
                    own[label], area[label] = own[label] + p[label], area[label] + 1
                    predicted = [a + b for a, b in zip(predicted, p, strict=True)]
    dice = [(2 * own[c] + 1) / (predicted[c] + area[c] + 1) for c in range(3)]
    cross_entropy, dice_term = segmentation_loss(logits, labels, groups, weights, 0.7)
    assert cross_entropy.item() == pytest.approx(total / mass, rel=1e-5)
    assert dice_term.item() == pytest.approx(0.7 * (1 - sum(dice) / 3), rel=1e-5)


def test_unlabeled_pixels_have_no_gradient():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    labels = torch.full((1, 4, 4), -1)
    labels[0, 0, 0] = 1
    sum(segmentation_loss(logits, labels, (), torch.ones(3), 1.0)).backward()
    assert logits.grad is not None
    touched = logits.grad.abs().sum(1)[0] > 0
    assert touched[0, 0] and touched.sum() == 1


def test_a_batch_without_any_label_costs_nothing_and_is_finite():
    loss = segmentation_loss(torch.randn(1, 3, 4, 4), torch.full((1, 4, 4), -1), (), torch.ones(3), 1.0)
    assert [part.item() for part in loss] == [0.0, 0.0]


def test_rare_concepts_weigh_more():
    source = Stripes(40, shown=(0, 0, 0, 1))
    labels = source.batch(range(40)).labels
    assert labels is not None
    counts = torch.bincount(labels[labels >= 0], minlength=3)
    assert torch.allclose(concept_weights([source], 0.0), torch.ones(3))
    weights = concept_weights([source], 0.5)
    assert weights[0] < weights[1] < weights[2]
    assert weights[1] / weights[0] == pytest.approx((counts[0] / counts[1]).item() ** 0.5, rel=1e-3)


# --- augmentation


def pictures(count: int = 4, size: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    rng = make_rng(7, "pictures")
    images = torch.rand(count, 3, size, size, generator=rng) * 2 - 1
    return images, torch.randint(0, 3, (count, size, size), generator=rng)


def test_augmentation_depends_on_the_rng_only_and_leaves_its_input():
    images, labels = pictures()
    before = images.clone(), labels.clone()
    one, two, other = (augment(images, labels, 24, Augmentation(), make_rng(0, "a", n)) for n in (1, 1, 2))
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    assert not torch.equal(one[0], other[0])
    assert torch.equal(images, before[0]) and torch.equal(labels, before[1])
    assert one[0].shape == (4, 3, 24, 24) and one[1].shape == (4, 24, 24)
    assert one[0].abs().max() <= 1 and one[1].min() >= -1 and one[1].max() <= 2


def test_no_augmentation_changes_nothing():
    images, labels = pictures()
    same = augment(images, labels, 32, NO_AUGMENTATION, make_rng(0))
    assert torch.equal(same[0], images) and torch.equal(same[1], labels)


def test_labels_move_with_their_pixels():
    """A picture painted in its labels' colors still is, wherever it was not interpolated between two concepts."""
    batch = Stripes().batch(range(12))
    assert batch.labels is not None
    images, labels = warp(from_uint8(batch.images), batch.labels, 32, Augmentation(), make_rng(0, "w"))
    read = PaletteSegmenter(CONCEPTS, max_distance=3)(images)
    sure = (read >= 0) & (labels >= 0)
    assert sure.float().mean() > 0.5
    assert (read == labels)[sure].float().mean() > 0.99


def test_blur_keeps_constants_and_smooths_noise():
    flat = torch.full((3, 3, 16, 16), 0.25)
    assert torch.allclose(blur(flat, 1.0, 2.0, make_rng(0)), flat, atol=1e-6)
    images, _ = pictures()
    blurred = blur(images, 1.0, 2.0, make_rng(0))
    assert (blurred.var((1, 2, 3)) <= images.var((1, 2, 3)) + 1e-6).all() and blurred.var() < 0.7 * images.var()
    assert torch.allclose(blur(images, 1e-9, 2.0, make_rng(0)), images, atol=1e-6)


def test_shrinking_is_what_a_small_generator_does_to_a_picture():
    images, _ = pictures(1)
    assert torch.allclose(shrink(images, 1.0, 31, make_rng(0)), reduce_and_enlarge(images, 31), atol=0.2)
    small = shrink(images, 1.0, 8, make_rng(0))
    assert small.shape == images.shape and small.var() < images.var()
    assert torch.equal(shrink(images, 1e-9, 8, make_rng(0)), images)


def test_recoloring_keeps_the_layout_and_noise_its_size():
    images, _ = pictures()
    flat = torch.zeros(2, 3, 8, 8) + 0.1
    assert (recolor(flat, 1.0, make_rng(0)).flatten(2).var(-1) < 1e-10).all()
    moved = add_noise(images, 0.1, make_rng(0)) - images
    assert 0 < moved.std() < 0.11


# --- evaluation


def test_confusion_matrix_is_a_count_of_pairs():
    rng = make_rng(1, "confusion")
    truth, predicted = torch.randint(-1, 5, (3, 6, 7), generator=rng), torch.randint(-1, 3, (3, 6, 7), generator=rng)
    slow = [[0] * 4 for _ in range(3)]
    for t, p in zip(truth.flatten().tolist(), predicted.flatten().tolist(), strict=True):
        if 0 <= t < 3:
            slow[t][p if p >= 0 else 3] += 1
    found = confusion_matrix(truth, predicted, 3)
    assert found.tolist() == slow and found.dtype == torch.int64
    iou = Evaluation(("a", "b", "c"), found, 3, "random").iou
    for c, name in enumerate("abc"):
        labeled = (truth >= 0) & (truth < 3)
        either = labeled & ((truth == c) | (predicted == c))
        both = labeled & (truth == c) & (predicted == c)
        assert iou[name] == both.sum().item() / either.sum().item()


def test_merging_concepts_is_relabeling_both_sides():
    rng = make_rng(2, "merge")
    truth, predicted = torch.randint(-1, 4, (900,), generator=rng), torch.randint(-1, 4, (900,), generator=rng)
    whole = Evaluation(tuple("abcd"), confusion_matrix(truth, predicted, 4), 1, "random")
    table = torch.tensor([0, 1, 2, 1, -1])  # b and d become b
    found = whole.merge_concepts(["b", "d"])
    assert found.concepts == ("a", "b", "c")
    assert torch.equal(found.confusion, confusion_matrix(table[truth], table[predicted], 3))
    first = whole.merge_concepts(["d", "a"])
    table = torch.tensor([2, 0, 1, 2, -1])
    assert first.concepts == ("b", "c", "d")
    assert torch.equal(first.confusion, confusion_matrix(table[truth], table[predicted], 3))
    with pytest.raises(KeyError, match="unknown concept 'e'"):
        whole.merge_concepts(["a", "e"])


def test_an_absent_concept_is_left_out_of_the_mean_and_said():
    found = evaluate(PaletteSegmenter(CONCEPTS), Stripes(5, shown=(0, 2)))
    assert found.iou == {"sky": 1.0, "tree": 1.0} and found.absent == ("road",)
    assert found.mean_iou == found.accuracy == 1.0 and found.num_images == 5
    assert found.confusion.sum() == 5 * 32 * 31  # the unlabeled column does not count
    assert found.record()["absent"] == ["road"]


def test_evaluation_does_not_depend_on_the_batch_size():
    source = Stripes(11)
    segmenter = PaletteSegmenter(CONCEPTS)
    one, two = (evaluate(segmenter, source, batch_size=size, reduced_to=8) for size in (3, 16))
    assert torch.equal(one.confusion, two.confusion) and one.mean_iou < 1
    assert evaluate(segmenter, source, max_images=4).num_images == 4


def test_a_pixel_of_a_group_is_right_if_the_prediction_is_in_it():
    class Grouped(Stripes):
        groups = ((1, 2),)

        def batch(self, indices, rng=None):
            batch = super().batch(indices)
            return LabeledPictures(batch.images, torch.where(batch.labels > 0, 3, batch.labels))

    found = evaluate(PaletteSegmenter(CONCEPTS), Grouped())
    assert found.accuracy == 1.0 and set(found.iou) == {"sky", "road", "tree"}
    swapped = tuple(Concept(i, c.name, CONCEPTS[(1, 0, 2)[i]].color) for i, c in enumerate(CONCEPTS))
    wrong = evaluate(PaletteSegmenter(swapped), Grouped())
    assert wrong.confusion[1, 0] > 0 and wrong.confusion[2, 0] == 0  # a miss counts for the group's first


def test_other_concepts_are_refused():
    with pytest.raises(ValueError, match="remap"):
        evaluate(PaletteSegmenter(CONCEPTS[:2]), Stripes())
    with pytest.raises(ValueError, match="at least one picture"):
        evaluate(PaletteSegmenter(CONCEPTS), Stripes(), max_images=0)


# --- training


def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path):
    class Stop(Exception):
        pass

    class Interrupted(SegmenterTraining):
        def step(self, index):
            if index == 3:
                raise Stop
            return super().step(index)

    def run(task, folder):
        about = {"settings": settings().to_json()}
        return runs.train(task, folder, about, num_steps=6, snapshot_every=6, checkpoint_every=3)

    whole, half, rest = (
        kind(settings(), [Stripes()], Stripes(4), "cpu") for kind in (SegmenterTraining, Interrupted, SegmenterTraining)
    )
    run(whole, tmp_path / "whole")
    with pytest.raises(Stop):
        run(half, tmp_path / "parts")
    run(rest, tmp_path / "parts")
    for part in ("network", "average"):
        one, two = whole.state_dict()[part], rest.state_dict()[part]
        assert all(torch.equal(one[name], two[name]) for name in one)
    files = [(tmp_path / name / "segmenter.safetensors").read_bytes() for name in ("whole", "parts")]
    assert files[0] == files[1]


class Stops(Stripes):
    """Is interrupted when it is asked for pictures to learn from for the n-th time."""

    def __init__(self, at):
        super().__init__()
        self.left = at

    def batch(self, indices, rng=None):
        self.left -= rng is not None
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        return super().batch(indices, rng)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a training that was stopped by Ctrl-C in its fourth step of six, before the first snapshot."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(KeyboardInterrupt):
        train_segmenter(settings(), [Stops(4)], Stripes(4), folder, device="cpu")
    return folder


@pytest.fixture
def run(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "run")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if "tfevents" not in path.name}


def test_a_stopped_training_has_the_segmenter_of_its_checkpoint(run):
    assert segmenters.load(run, "cpu").concepts == CONCEPTS
    weights, _ = load_tensors(run / "segmenter.safetensors", FORMAT, VERSION)
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    assert state["steps_done"] == 4
    average = state["task"]["average"]
    assert weights
    for name, value in weights.items():
        assert torch.equal(value, average[name].to(value.dtype)), name
    assert not list(run.glob("grid-*")), "that is no snapshot"


class Shown(Stripes):
    def __init__(self, size):
        super().__init__()
        self.size = size


def shuffled():
    others = Stripes()
    others.concepts = (CONCEPTS[0], CONCEPTS[2].__class__(1, "lane", (1, 1, 1)), CONCEPTS[2])
    return others


@pytest.mark.parametrize(
    ("sources", "held_out", "difference"),
    [
        ([Stripes(13)], Stripes(4), r"pictures: \[12\] there, \[13\] given"),
        ([Stripes(12), Stripes(12)], Stripes(4), r"pictures: \[12\] there, \[12, 12\] given"),
        ([Shown(64)], Stripes(4), r"sizes: \[32\] there, \[64\] given"),
        ([Stripes()], Stripes(5), r"held_out_pictures: 4 there, 5 given"),
        ([shuffled()], shuffled(), r"concepts: .*'road'.* there, .*'lane'.* given"),
    ],
)
def test_a_training_with_other_pictures_is_another_run(run, sources, held_out, difference):
    before = contents(run)
    with pytest.raises(ValueError, match=f"other settings .*{difference}"):
        train_segmenter(settings(), sources, held_out, run, device="cpu")
    assert contents(run) == before


def test_a_setting_that_differs_is_named_alone(run):
    with pytest.raises(ValueError, match=r"other settings \(settings.seed: 3 there, 4 given\)"):
        train_segmenter(settings(seed=4), [Stripes()], Stripes(4), run, device="cpu")


def test_a_run_that_did_not_record_its_pictures_is_resumed_as_before(run, tmp_path):
    about = json.loads((run / "settings.json").read_text())
    kept = {name: about[name] for name in ("settings", "sources", "held_out")}
    (run / "settings.json").write_text(json.dumps(kept))
    train_segmenter(settings(), [Stripes()], Stripes(4), run, device="cpu")
    train_segmenter(settings(), [Stripes()], Stripes(4), tmp_path / "whole" / "run", device="cpu")
    files = [(folder / "segmenter.safetensors").read_bytes() for folder in (run, tmp_path / "whole" / "run")]
    assert files[0] == files[1]
    assert json.loads((run / "settings.json").read_text()) == about, "from now on they are recorded"


def test_a_training_with_other_steps_says_why_it_cannot_go_on(run):
    """The learning rate depends on the number of steps from the third step on."""
    assert all(learning_rate(settings(6), step) != learning_rate(settings(7), step) for step in range(2, 6))
    with pytest.raises(ValueError, match="of 6 steps cannot continue with 7, since its learning rate follows a cosine"):
        train_segmenter(settings(7), [Stripes()], Stripes(4), run, device="cpu")


def test_what_are_no_labeled_pictures_is_named(tmp_path):
    given = settings(), [Stripes()], Stripes(4)
    for place, value, message in (
        (0, "unet", "settings must be SegmenterSettings; got 'unet'"),
        (1, "pics", "sources must be a list of labeled pictures, such as .*; got 'pics'"),
        (1, Stripes(), "sources must be a list of labeled pictures, such as .*Stripes"),
        (2, "pics", "held_out must be labeled pictures, such as .*; got 'pics'"),
    ):
        arguments = [*given[:place], value, *given[place + 1 :]]
        with pytest.raises(TypeError, match=message):
            train_segmenter(*arguments, tmp_path / "run", device="cpu")
    for name in ("snapshot_every", "checkpoint_every"):
        with pytest.raises(ValueError, match=rf"^{name} \(--.*\) must be an integer of at least 1; got 0$"):
            train_segmenter(*given, tmp_path / "run", device="cpu", **{name: 0})
    assert not (tmp_path / "run").exists()


def test_training_does_not_touch_the_global_random_state_but_the_seed_matters():
    before = torch.random.get_rng_state()
    tasks = [SegmenterTraining(settings(seed=seed), [Stripes()], Stripes(2), "cpu") for seed in (1, 1, 2)]
    losses = [task.step(0)["cross_entropy"] for task in tasks]
    assert torch.equal(before, torch.random.get_rng_state())
    assert losses[0] == losses[1] != losses[2]


def test_a_small_network_learns_stripes(tmp_path):
    given = settings(40, batch_size=8, ema_half_life=40.0, learning_rate=5e-3, augmentation=NO_AUGMENTATION)
    path = train_segmenter(given, [Stripes(64)], Stripes(8), tmp_path / "r", device="cpu", snapshot_every=40)
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["mean_iou"] > 0.8
    from segmenters.unet import UNetSegmenter

    found = evaluate(UNetSegmenter.load(path, "cpu"), Stripes(8))
    assert found.mean_iou == pytest.approx(lines[-1]["mean_iou"], abs=0.02)
    assert list((tmp_path / "r").glob("grid-*.png"))


def test_sources_must_fit():
    class Others(Stripes):
        concepts = CONCEPTS[:2]

    with pytest.raises(ValueError, match="same concepts"):
        SegmenterTraining(settings(), [Others()], Stripes(), "cpu")
    with pytest.raises(ValueError, match="at least one source"):
        SegmenterTraining(settings(), [], Stripes(), "cpu")


# --- recipes


def write_folder(folder: Path, names: Sequence[str], splits: Sequence[str]) -> None:
    """A labeled folder of pictures that hold one class each, in order; every split names them all."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps([{"index": i, "name": n} for i, n in enumerate(names)]))
    for index in range(len(names)):
        Image.new("RGB", (20, 16), (index * 9, 0, 0)).save(folder / "images" / f"p{index:02d}.png")
        Image.new("L", (20, 16), index).save(folder / "labels" / f"p{index:02d}.png")
    for split in splits:
        (folder / f"{split}.txt").write_text("\n".join(f"p{index:02d}" for index in range(len(names))))


def test_streets_learn_from_both_folders_and_keep_camvids_buildings_undecided(tmp_path):
    named = ["building", "car", "door", "pavement", "road", "sky", "vegetation", "window"]
    seen = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
    write_folder(tmp_path / "labelmefacade", ["various", *named], ["train", "val"])
    write_folder(tmp_path / "camvid", [*seen, "unlabelled"], ["train", "test"])
    recipe = recipes.streets(tmp_path)
    (source,) = recipe.sources
    assert [
        concept.name for concept in recipe.held_out.concepts
    ] == named and source.concepts == recipe.held_out.concepts
    labels = source.batch(range(len(source))).labels
    assert labels is not None
    found = labels.flatten(1)[:, 0].tolist()
    assert found[:9] == [-1, *range(8)]
    expected = {"sky": 5, "building": 8, "road": 4, "pavement": 3, "tree": 6, "car": 1}
    assert found[9:] == [expected.get(name, -1) for name in [*seen, "unlabelled"]]
    assert [named[index] for index in groups_of(source)[0]] == ["building", "door", "window"]


def test_scenes_are_judged_by_another_seed():
    recipe = recipes.scenes()
    assert {source.size for source in recipe.sources} == {64, 128}
    one, two = recipe.sources[0].batch([0]).images, recipe.held_out.batch([0]).images
    assert one.shape == two.shape and not torch.equal(one, two)

"""Dissection: invalid input, side effects, and the settings that must not change the result."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import nn

from gandissect import Concept, Dissection, LayerDissection, LayerInfo, dissect
from gandissect.core import NetworkId
from gandissect.dissection.counting import layer_counts, pilot
from gandissect.inference.batches import LayerSampler
from gandissect.inference.upsampling import upsample
from generators import DCGAN, PlantedGenerator
from generators.architectures.planted import PLANTED

CONCEPTS = tuple(Concept(i, name, (i, 2 * i, 3 * i)) for i, name in enumerate(["dark", "middle", "bright"]))


class Brightness:
    """Label pixels dark, middle or bright; pixels in between stay unlabeled."""

    name, fingerprint, concepts = "brightness", "0" * 64, CONCEPTS

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        level = (images.mean(1) * 20).round().long()
        return torch.where(level % 2 == 0, -1, (level.sign() + 1))


class Changed:
    """A segmenter with altered labels."""

    name, fingerprint, concepts = "changed", "0" * 64, CONCEPTS

    def __init__(self, change: Callable[[torch.Tensor], Any]) -> None:
        self.change = change

    def __call__(self, images: torch.Tensor) -> Any:
        return self.change(Brightness()(images))


def _generator(seed: int = 0) -> DCGAN:
    torch.manual_seed(seed)
    generator = DCGAN(size=16, width=6, z_dim=5)
    for module in generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.002, 0.01)
            module.bias.data.normal_(0, 0.5)
    return generator.eval().requires_grad_(False)


class Bare:
    """A generator that is not a module: only the protocol."""

    def __init__(self, inner: DCGAN) -> None:
        self.name, self.fingerprint, self.layers = inner.name, inner.fingerprint, inner.layers
        self.z_dim, self.image_size, self.device = inner.z_dim, inner.image_size, inner.device
        self.sample_z, self.head, self.tail, self._inner = inner.sample_z, inner.head, inner.tail, inner

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return self._inner(z)


def _dissect(generator: Any = None, segmenter: Any = None, **settings: Any) -> Dissection:
    settings = {"num_samples": 20, "batch_size": 8, "quantile": 0.05, "progress": False, **settings}
    return dissect(generator or _generator(), segmenter or Brightness(), **settings)


def _assert_same(one: Dissection, two: Dissection) -> None:
    assert one.records() == two.records()
    for first, second in zip(one, two, strict=True):
        assert torch.equal(first.intersection, second.intersection)
        assert torch.equal(first.concept_area, second.concept_area)
        assert torch.equal(first.top.packed_masks, second.top.packed_masks)
    assert torch.equal(one.thumbnails.pixels, two.thumbnails.pixels)


def test_the_result_is_complete() -> None:
    generator = _generator()
    dissection = _dissect(generator, top_images=3)
    assert [layer.name for layer in dissection] == list(generator.layers)
    assert len(dissection.records()) == sum(info.units for info in generator.layers.values())
    layer = dissection["layer2"]
    assert layer.info == generator.layers["layer2"]
    assert layer.iou.shape == (3, layer.info.units)
    assert layer.iou.dtype == torch.float64
    assert layer.thresholds.dtype == torch.float32
    assert {tensor.device.type for tensor in (layer.iou, layer.thresholds, layer.top.peaks)} == {"cpu"}
    assert layer.top.samples.shape == (layer.info.units, 3)
    assert any(match.concept for match in layer.matches)
    about = dissection.provenance
    assert about.generator == NetworkId.of(generator)
    assert (about.num_samples, about.seed, about.quantile, about.label_size) == (20, 0, 0.05, (16, 16))
    assert about.versions["torch"] == torch.__version__.split("+")[0]


def _assert_counts_fit(layer: LayerDissection, generator: DCGAN, tolerance: int) -> None:
    """With 20 samples of 16 * 16 pixels and a quantile of 5%, a unit is on at 256 pixels or slightly fewer."""
    values = upsample(generator.head(generator.sample_z(20), layer.name), (16, 16)).transpose(0, 1).flatten(1)
    on = values > layer.thresholds[:, None]
    assert torch.equal(on.sum(1), layer.unit_area)
    labels = Brightness()(generator(generator.sample_z(20))).flatten()
    for row in range(len(CONCEPTS)):
        assert torch.equal((on & (labels == row)).sum(1), layer.intersection[row])
    exact = values.sort(dim=1, descending=True).values[:, 256]
    assert (layer.unit_area <= 256).all()
    assert ((layer.unit_area >= 256 - tolerance) | (layer.thresholds == exact)).all()


def test_a_unit_is_on_at_no_more_than_its_quantile_and_hardly_less() -> None:
    generator = _generator()
    for layer in _dissect(generator):
        _assert_counts_fit(layer, generator, tolerance=5)  # 0.1% of 5120


def test_layers_come_in_the_generators_order_and_do_not_depend_on_each_other() -> None:
    both = _dissect(layers=["layer2", "layer1"])
    assert [layer.name for layer in both] == ["layer1", "layer2"]
    alone = _dissect(layers="layer2")
    assert torch.equal(both["layer2"].intersection, alone["layer2"].intersection)
    assert torch.equal(both["layer2"].thresholds, alone["layer2"].thresholds)


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    _assert_same(_dissect(seed=4), _dissect(seed=4))
    assert _dissect(seed=4).records() != _dissect(seed=5).records()


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_the_batch_size_does_not_matter(batch_size: int) -> None:
    generator = PlantedGenerator(size=16, cells=8)  # exact: rounding cannot differ
    segmenter = _palette(generator)
    expected = _dissect(generator, segmenter, num_samples=33, batch_size=8)
    _assert_same(_dissect(generator, segmenter, num_samples=33, batch_size=batch_size), expected)


def _palette(generator: PlantedGenerator) -> Any:
    from segmenters.palette import PaletteSegmenter

    return PaletteSegmenter(generator.concepts)


TRICKS = {
    "narrow guesses": {"MOST_SPREAD": 1.0, "LEAST_SPREAD": 1.0},
    "guesses of everything": {"LEAST_SPREAD": 1e9, "MOST_SPREAD": 1e9},
    "a pilot of one sample": {"PILOT_SAMPLES": (1, 1), "PILOT_PIXELS": 1},
    "no error allowed": {"RANK_ERROR": Fraction(0)},
}


@pytest.mark.parametrize("num_bins", [3, 64])
@pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS.keys())
def test_a_bad_guess_costs_work_only(trick: dict[str, Any], num_bins: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further passes do not segment: each image is segmented once, plus one in advance for the label shape."""
    generator, seen = _generator(), []
    segment = Brightness.__call__
    monkeypatch.setattr(Brightness, "__call__", lambda self, images: seen.append(len(images)) or segment(self, images))
    for name, value in trick.items():
        monkeypatch.setattr(pilot, name, value)
    monkeypatch.setattr(layer_counts, "NUM_BINS", num_bins)
    found = _dissect(generator)
    assert sum(seen) == 1 + 20
    for layer in found:
        _assert_counts_fit(layer, generator, tolerance=0 if "RANK_ERROR" in trick else 5)


def test_generator_and_segmenter_run_once() -> None:
    generator, seen = PlantedGenerator(size=16, cells=8), []
    palette = _palette(generator)

    class Counting(Changed):
        concepts = palette.concepts

        def __call__(self, images: torch.Tensor) -> Any:
            seen.append(len(images))
            return palette(images)

    _dissect(generator, Counting(lambda labels: labels), num_samples=64)
    assert sum(seen) == 64 + 1  # one more for the size of a label map


def test_a_generator_that_is_no_module_gives_the_same() -> None:
    _assert_same(_dissect(Bare(_generator())), _dissect(_generator()))


def test_the_generator_is_left_as_it_was() -> None:
    generator = _generator()
    z = generator.sample_z(4, seed=9)
    before = generator(z)

    def fail(labels: torch.Tensor) -> torch.Tensor:
        raise ArithmeticError

    _dissect(generator)
    with pytest.raises(ArithmeticError):
        _dissect(generator, Changed(fail))
    with pytest.raises(KeyError):
        _dissect(generator, layers="layer9")
    assert torch.equal(generator(z), before)
    assert not any(module._forward_hooks for module in generator.modules())
    assert not torch.is_inference_mode_enabled()


def test_results_can_be_used_with_autograd() -> None:
    dissection = _dissect()
    weight = torch.ones((), requires_grad=True)
    (dissection["layer1"].thresholds * weight).sum().backward()
    assert weight.grad is not None
    for layer in dissection:
        tensors = (layer.iou, layer.unit_area, layer.intersection, layer.top.peaks, layer.top.packed_masks)
        assert not any(tensor.is_inference() for tensor in tensors)
    assert not dissection.thumbnails.pixels.is_inference()
    assert not dissection.thumbnails.samples.is_inference()


def test_nothing_behind_the_last_layer_runs_while_thresholds_are_sought() -> None:
    generator, calls = _generator(), []
    assert generator.layers  # may run the generator
    generator.output.register_forward_pre_hook(lambda *_: calls.append(1))
    list(LayerSampler(generator, ("layer1",), 0, 8, False).activations(range(16), ""))
    assert not calls


def test_top_images_are_those_with_the_highest_peaks() -> None:
    generator = _generator()
    dissection = _dissect(generator, num_samples=30, top_images=4)
    activation = generator.head(generator.sample_z(30), "layer2")
    images = generator(generator.sample_z(30))
    layer = dissection["layer2"]
    for unit in range(layer.info.units):
        peaks = activation[:, unit].amax((1, 2)).tolist()
        ranking = sorted(range(30), key=lambda i: (-peaks[i], i))[:4]
        assert layer.top.samples[unit].tolist() == ranking
        assert layer.top.peaks[unit].tolist() == [peaks[i] for i in ranking]
        for rank, sample in enumerate(ranking):
            thumbnail = dissection.thumbnails[sample]
            assert torch.equal(thumbnail, ((images[sample] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8))
            mask = upsample(activation[sample : sample + 1], (16, 16))[0, unit] > layer.thresholds[unit]
            assert torch.equal(layer.top.mask(unit, rank), mask)


def test_thumbnails_are_kept_once_and_only_if_needed() -> None:
    dissection = _dissect(num_samples=30, top_images=1)
    used = {sample for layer in dissection for sample in layer.top.samples.flatten().tolist()}
    assert dissection.thumbnails.samples.tolist() == sorted(used)
    missing = next(sample for sample in range(31) if sample not in used)
    with pytest.raises(KeyError, match=f"sample {missing} has no thumbnail"):
        dissection.thumbnails[missing]
    assert len(_dissect(top_images=0).thumbnails.samples) == 0


def test_more_top_images_than_samples_take_no_more_memory() -> None:
    dissection = _dissect(num_samples=6, top_images=10**15)
    for layer in dissection:
        assert layer.top.samples.sort(1).values.tolist() == [[*range(6)]] * layer.info.units


def test_large_images_get_small_thumbnails() -> None:
    generator = PlantedGenerator(size=160, cells=8)
    dissection = _dissect(generator, _palette(generator), num_samples=6)
    assert dissection.thumbnails.size == (128, 128)
    layer = dissection["layer2"]
    assert layer.top.mask(0, 0).shape == (128, 128)
    share = layer.top.mask(0, 0).float().mean().item()
    assert share == pytest.approx(1 / 64, rel=0.2)  # a cell of an 8 x 8 grid


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -3e38])
def test_an_activation_that_is_not_finite_or_too_large_is_named(value: float) -> None:
    class Broken(Bare):
        def head(self, z: torch.Tensor, layer: str) -> torch.Tensor:
            raise NotImplementedError

    generator = Broken(_generator())

    def head(z: torch.Tensor, layer: str) -> torch.Tensor:
        activation = _generator().head(z, layer)
        if layer == "layer2" and len(z) < 8:  # the last block, samples 16 to 19
            activation[2, 3, 0, 1] = value
        return activation

    generator.head = head
    what = "activation too large to interpolate" if value == -3e38 else "NaN or infinite activation"
    with pytest.raises(ValueError, match=f"layer 'layer2', unit 3: {what} in sample 18"):
        _dissect(generator)


BAD_LABELS = {
    "other sizes": (lambda labels: labels[:, len(labels) :], r"\[8, 15, 16\], one map of constant size.*\[8, 8, 16\]"),
    "another batch": (lambda labels: labels[len(labels) // 2 :], r"got torch.int64 \[4, 16, 16\]"),
    "floats": (lambda labels: labels.float(), r"got torch.float32"),
    "one-hot": (
        lambda labels: labels[:, None].expand(-1, 3, -1, -1),
        "returned 3 labels per pixel for 3 concepts, .* one-hot",
    ),
    "a tuple": (lambda labels: (labels,), "got tuple"),
    "too high": (lambda labels: labels + 3, "3 concepts must be -1 to 2; got 5"),
    "too low": (lambda labels: labels - 2, "must be -1 to 2; got -3"),
}


@pytest.mark.parametrize(("change", "message"), BAD_LABELS.values(), ids=BAD_LABELS.keys())
def test_labels_that_are_none_are_refused(change: Callable[[torch.Tensor], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _dissect(segmenter=Changed(change))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"num_samples": 0}, ValueError, "num_samples must be an integer of at least 1; got 0"),
        ({"num_samples": -3}, ValueError, "num_samples"),
        ({"num_samples": 20.0}, ValueError, "num_samples must be an integer of at least 1; got 20.0"),
        ({"num_samples": True}, ValueError, "num_samples must be an integer"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"top_images": -1}, ValueError, "top_images"),
        ({"quantile": 0.0}, ValueError, r"must be in \(0, 1\); got 0.0"),
        ({"quantile": 1.0}, ValueError, r"must be in \(0, 1\)"),
        ({"layers": "layer3"}, KeyError, "unknown layer 'layer3'; did you mean 'layer2'|'layer1'"),
        ({"layers": ["layer1", "output"]}, KeyError, "unknown layer 'output'"),
        ({"padding": "zero"}, KeyError, "unknown padding 'zero'; did you mean 'zeros'"),
        ({"layers": []}, ValueError, "name at least one layer"),
        ({"layers": [0]}, TypeError, "layers must be names such as 'layer1'; got 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _dissect(**settings)


def test_what_is_no_generator_or_segmenter_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Linear is not a Generator: it lacks name, fingerprint, layers"):
        _dissect(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"function is not a Segmenter: it lacks name"):
        _dissect(segmenter=lambda images: images)


def test_a_generator_in_training_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"training mode.*\.eval\(\)"):
        _dissect(_generator().train())


def test_a_layer_of_another_shape_is_refused() -> None:
    generator = Bare(_generator())
    generator.head = lambda z, layer: torch.zeros(len(z), 7)
    with pytest.raises(ValueError, match=r"activations of layer 'layer1' must be \[8, 12, 4, 4\].*got \[8, 7\]"):
        _dissect(generator)


def test_unlabeled_pixels_count_in_a_unit_but_in_no_concept() -> None:
    dissection = _dissect(segmenter=Changed(lambda labels: torch.full_like(labels, -1)))
    for layer in dissection:
        assert layer.num_pixels == 20 * 256
        assert layer.concept_area.sum() == 0
        assert layer.iou.abs().sum() == 0
        assert int(layer.unit_area.max()) > 0
        assert all(match.concept is None and match.iou == 0 for match in layer.matches)


def test_the_planted_generator_is_found_out() -> None:
    generator = PlantedGenerator(size=32, cells=8)
    dissection = dissect(generator, _palette(generator), num_samples=64, progress=False)
    layer = dissection["layer2"]
    names = [concept.name for concept in PLANTED]
    assert [match.concept for match in layer.matches] == [*names, names[0], None]
    assert [match.iou for match in layer.matches] == [1.0] * 5 + [0.0]
    assert layer.info == LayerInfo(6, 32, 32)
    assert layer.units_for(names[0]).units == (0, 4)
    with pytest.raises(KeyError, match="unknown concept 'rad'; did you mean 'red'"):
        layer.units_for("rad")
    with pytest.raises(KeyError, match="unknown layer 'layer3'"):
        dissection["layer3"]


class Table:
    """A generator whose only layer has fixed activations, and whose image encodes the sample index."""

    name, fingerprint, z_dim, device, image_size = "table", "6" * 64, 1, torch.device("cpu"), (4, 4)

    def __init__(self, activations: torch.Tensor) -> None:
        self.activations = activations
        self.layers = {"layer1": LayerInfo(*activations.shape[1:])}

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> torch.Tensor:
        return torch.arange(start, start + num_samples)[:, None].float()

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(z), 3, 4, 4)

    def head(self, z: torch.Tensor, layer: str) -> torch.Tensor:
        return self.activations[z[:, 0].long()]

    def tail(self, activation: torch.Tensor, layer: str, z: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


def test_a_threshold_of_zero_is_one_that_its_counts_belong_to() -> None:
    activations = -1 - torch.rand(400, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    activations[:40] = 0.0
    layer = _dissect(Table(activations), num_samples=400, quantile=0.1)["layer1"]
    assert int((activations > layer.thresholds).sum()) * 16 == int(layer.unit_area) == 40 * 16


@pytest.mark.parametrize("batch_size", [2, 6, 64])
def test_the_batch_size_does_not_move_a_threshold(batch_size: int) -> None:
    table = Table(torch.randn(200, 3, 4, 4, generator=torch.Generator().manual_seed(1)))
    expected = _dissect(table, num_samples=200, batch_size=8)
    _assert_same(_dissect(table, num_samples=200, batch_size=batch_size), expected)


def test_luck_with_few_samples_is_no_discovery() -> None:
    """Units that are on in whole images, and images with one label: all groups can agree by chance."""
    for seed in range(20):
        rng = torch.Generator().manual_seed(seed)
        table = Table(torch.rand(6, 20, 1, 1, generator=rng))
        labels = torch.randint(0, 3, (6,), generator=rng)
        seen: list[torch.Tensor] = []

        def label(found: torch.Tensor, seen: list[torch.Tensor] = seen, labels: torch.Tensor = labels) -> torch.Tensor:
            start = (
                sum(len(each) for each in seen[1:]) % 6
            )  # some repeat; the first call is for the size of a label map
            seen.append(found)
            return labels[start : start + len(found)][:, None, None].expand_as(found).clone()

        dissection = _dissect(table, Changed(label), num_samples=6, quantile=0.3, batch_size=6)
        assert not any(match.beyond_chance for match in dissection["layer1"].matches)


def test_pixels_that_are_not_finite_are_refused() -> None:
    class Blind(Table):
        def __call__(self, z: torch.Tensor) -> torch.Tensor:
            return torch.where(z[:, :, None, None] == 17, torch.nan, 0.0).expand(-1, 3, 4, 4)

    with pytest.raises(ValueError, match="NaN or infinite pixel in sample 17"):
        _dissect(Blind(torch.zeros(20, 1, 1, 1)))


@pytest.mark.parametrize(
    ("low", "high", "refused"), [(0, 255, True), (-300, -3, True), (-20, 20, True), (-12, 12, False), (0, 1, False)]
)
def test_images_that_are_far_from_their_range_are_refused(low: float, high: float, refused: bool) -> None:
    """An image spans its range evenly: in -12 to 12, a third of it is beyond 8, unlike any picture in 0 to 255."""
    ramp = torch.linspace(low, high, 48).reshape(3, 4, 4)

    class Wide(Table):
        def __call__(self, z: torch.Tensor) -> torch.Tensor:
            return ramp.expand(len(z), 3, 4, 4)

    table = Wide(torch.randn(20, 1, 1, 1, generator=torch.Generator().manual_seed(0)))
    if not refused:
        _dissect(table)
        return
    with pytest.raises(ValueError, match=f"images must be in \\[-1, 1\\]; got values from {low} to {high}; scale them"):
        _dissect(table)


class Oblong(Table):
    """Images of 12 x 32."""

    image_size = (12, 32)

    def __init__(self) -> None:
        super().__init__(torch.randn(20, 2, 3, 8, generator=torch.Generator().manual_seed(0)))

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(z), 3, 12, 32)


@pytest.mark.parametrize("size", [(32, 12), (12, 12), (12, 16), (6, 20), (12, 35), (14, 32)])
def test_label_maps_of_other_proportions_are_refused(size: tuple[int, int]) -> None:
    change = Changed(lambda labels: torch.zeros(len(labels), *size, dtype=torch.int64))
    with pytest.raises(ValueError, match=f"same aspect ratio; got {size[0]} x {size[1]} .* for images of 12 x 32"):
        _dissect(Oblong(), change)


@pytest.mark.parametrize("rounding", [math.floor, math.ceil, round])
@pytest.mark.parametrize("scale", [0.07, 0.25, 0.3, 0.77, 1, 1.3, 2])
def test_label_maps_may_be_larger_or_smaller_up_to_rounding(scale: float, rounding: Callable[[float], int]) -> None:
    size = tuple(max(1, rounding(scale * length)) for length in (12, 32))
    change = Changed(lambda labels: torch.zeros(len(labels), *size, dtype=torch.int64))
    assert _dissect(Oblong(), change).provenance.label_size == size


class Unseeded(Table):
    """Latent vectors by a rule of (num_samples, seed, start)."""

    def __init__(self, draw: Callable[[int, int, int], Any]) -> None:
        super().__init__(torch.zeros(20, 1, 1, 1))
        self.draw = draw

    def sample_z(self, num_samples: int, seed: int = 0, start: int = 0) -> Any:
        return self.draw(num_samples, seed, start)


def _from_seed(num_samples: int, seed: int, start: int) -> torch.Tensor:
    return torch.randn(num_samples, 1, generator=torch.Generator().manual_seed(seed))  # a common implementation


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda n, seed, start: torch.randn(n, 1),
            "returned different latent vectors when called again; .* must depend",
        ),
        (_from_seed, r"sample_z\(2, 3, 0\)\[1\] of table differs from sample_z\(1, 3, 1\)\[0\]; .* gandissect.core"),
        (lambda n, seed, start: torch.zeros(n), r"sample_z\(2, seed, start\) must return \[2, 1\]; got .*\[2\]"),
        (lambda n, seed, start: torch.zeros(2, 1), r"sample_z\(1, seed, start\) must return \[1, 1\]; .*\[2, 1\]"),
        (lambda n, seed, start: [[0.0]] * n, "got list"),
    ],
)
def test_latent_vectors_that_do_not_depend_on_seed_and_index_only_are_refused(draw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _dissect(Unseeded(draw), seed=3)


def test_torchs_default_type_does_not_matter() -> None:
    table = Table(torch.randn(20, 3, 4, 4, generator=torch.Generator().manual_seed(1)))
    expected = _dissect(table)
    torch.set_default_dtype(torch.float64)
    try:
        found = _dissect(table)
    finally:
        torch.set_default_dtype(torch.float32)
    _assert_same(found, expected)

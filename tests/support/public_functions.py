"""Every public function that computes something, called on networks so small that all of them take seconds together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import torch
from tiny_gans import enliven
from torch import Tensor, nn

import gandissect
import generators
import segmenters
from gandissect import (
    Ablation,
    Concept,
    Insertion,
    Scaling,
    UnitSet,
    Yardstick,
    artifacts,
    causal,
    fidelity,
    latent,
    stats,
)
from gandissect.core import to_uint8
from gandissect.dissection import DissectSettings

QUIET = {"progress": False}
SIZE = 16


class ColorSegmenter:
    """Names a pixel's strongest color; it can be differentiated and has an encoder, and works where its weights are."""

    name, fingerprint = "colors", "6" * 64
    concepts = (Concept(0, "red", (255, 0, 0)), Concept(1, "green", (0, 255, 0)), Concept(2, "blue", (0, 0, 255)))

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(3)
        self.weights = nn.Conv2d(3, 8, 4, 4, bias=False, dtype=torch.float32, device="cpu").requires_grad_(False)
        self.weights.weight.copy_(torch.randn(8, 3, 4, 4, generator=rng, dtype=torch.float32, device="cpu"))

    def __call__(self, images: Tensor) -> Tensor:
        return self.logits(images).argmax(1).to(images.device)

    def logits(self, images: Tensor) -> Tensor:
        return 4 * images.to(self.weights.weight.device)

    def encode(self, images: Tensor) -> Sequence[Tensor]:
        return [self.weights(images.to(self.weights.weight.device)).relu()]


class Pictures:
    """Smooth colored pictures."""

    name, size = "smooth", SIZE

    def __init__(self, count: int) -> None:
        rng = torch.Generator().manual_seed(4)
        coarse = torch.randn(count, 3, 4, 4, generator=rng, dtype=torch.float32, device="cpu")
        self.pixels = to_uint8(nn.functional.interpolate(coarse, SIZE, mode="bilinear").tanh())

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: Sequence[int], rng: torch.Generator | None = None) -> SimpleNamespace:
        return SimpleNamespace(images=self.pixels[list(indices)])


@dataclass(frozen=True)
class Networks:
    """What the functions are called on.

    Args:
        style: A StyleGAN, which has w and noise.
        plain: A DCGAN, whose layers are rectified.
        segmenter: Labels images of all.
        translator: A U-Net, on label maps of the segmenter's concepts.
    """

    style: generators.StyleGAN
    plain: generators.DCGAN
    segmenter: ColorSegmenter
    translator: generators.UNetTranslator

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return self.style, self.plain, self.segmenter.weights, self.translator

    @property
    def pair(self) -> tuple[generators.DCGAN, ColorSegmenter]:
        return self.plain, self.segmenter

    @property
    def style_pair(self) -> tuple[generators.StyleGAN, ColorSegmenter]:
        return self.style, self.segmenter

    @property
    def yardstick(self) -> Yardstick:
        pictures = Pictures(70).pixels
        return Yardstick("colors", fidelity.encoder_features(self.segmenter), pictures[:40], pictures[40:], num_dims=4)

    def w(self, seed: int) -> Tensor:
        return latent.as_w(self.style, self.style.sample_z(2, seed))


def make_networks() -> Networks:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        style = generators.StyleGAN(SIZE, 4, 8, z_dim=5, w_dim=5, mapping_depth=2)
        plain = generators.DCGAN(SIZE, 4, z_dim=5)
        for module in plain.modules():
            if isinstance(module, nn.ConvTranspose2d):
                nn.init.normal_(module.weight, 0, 0.25)
    for network in (style, plain):
        enliven(network).eval().requires_grad_(False)
    segmenter = ColorSegmenter()
    return Networks(style, plain, segmenter, _translate_labels(segmenter))


def _translate_labels(segmenter: ColorSegmenter) -> generators.UNetTranslator:
    names = [concept.name for concept in segmenter.concepts]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        translator = generators.UNetTranslator(SIZE, 4, input_concepts=names).eval().requires_grad_(False)
    maps = torch.randint(-1, len(names), (8, SIZE, SIZE), generator=torch.Generator().manual_seed(1), device="cpu")
    return translator.on(maps)


UNITS = UnitSet("layer2", (0, 2))
Call = Callable[[Networks, Path], Any]


def _shards(n: Networks, folder: Path) -> Any:
    settings = DissectSettings(num_samples=8, batch_size=4, quantile=0.1)
    folders = [folder / "1", folder / "2"]
    for index, shard in enumerate(folders, start=1):
        gandissect.dissect_shard(*n.pair, shard, (index, 2), ["layer1"], settings, **QUIET)
    return gandissect.merge_shards(folders, n.pair, **QUIET)


def _dissect(n: Networks, **options: Any) -> gandissect.Dissection:
    settings = {"num_samples": 8, "batch_size": 4, "quantile": 0.1} | options
    return gandissect.dissect(*n.pair, ["layer1", "layer2"], **settings, **QUIET)


def _dissect_labels(n: Networks, labels: Any) -> gandissect.Dissection:
    settings = {"num_samples": 8, "batch_size": 4, "quantile": 0.1, "labels": labels}
    return gandissect.dissect(n.translator, n.segmenter, ["encoder2", "decoder1"], **settings, **QUIET)


def _intervene(n: Networks) -> Tensor:
    with gandissect.intervene(n.plain, [Ablation(UNITS)]):
        return n.plain(n.plain.sample_z(2, 1))


def _trace(n: Networks) -> Tensor:
    with gandissect.trace(n.plain, "layer1") as record:
        n.plain(n.plain.sample_z(2, 1))
    return record.output


def _curves(n: Networks) -> Any:
    ranking = gandissect.rank_units_by_iou(_dissect(n), "layer2", "red")
    return gandissect.measure_effect_curves(*n.pair, {"iou": ranking}, (1, 2), 8, seed=5, **QUIET)


def _direction(n: Networks, number: int = 0) -> latent.Direction:
    return latent.closed_form_directions(n.style, 2)[number]


def _rescore(n: Networks) -> Any:
    boundary = latent.find_boundary(*n.style_pair, "red", 60, space="w", **QUIET)
    return latent.rescore_layers(*n.style_pair, boundary.direction, "red", num_samples=4, **QUIET)


def _inversion(n: Networks, **options: Any) -> latent.Inversion:
    pictures = n.style(n.style.sample_z(2, 9)).clamp(-1, 1)
    settings = {"num_candidates": 20, "num_starts": 2, "num_steps": 3} | options
    return latent.invert(n.style, pictures, **settings, **QUIET)


def _edits(n: Networks) -> Tensor:
    region = torch.zeros(8, 8, dtype=torch.float32, device="cpu")
    region[2:5, :] = 0.5
    edits = [Ablation(UNITS, region), Insertion(UnitSet("layer1", (1,)), 0.5), Scaling(UnitSet("layer2", (3,)), 2.0)]
    return gandissect.generate(n.plain, n.plain.sample_z(2, 1), edits)


CALLS: Mapping[str, Call] = {
    "gandissect.average_causal_effect": lambda n, _: gandissect.average_causal_effect(
        *n.pair, UNITS, "red", 8, **QUIET
    ),
    "gandissect.average_causal_effect, inserted": lambda n, _: gandissect.average_causal_effect(
        *n.pair, UNITS, "red", 8, values=(1.0, 2.0), patch=2, **QUIET
    ),
    "gandissect.choose_num_units": lambda n, _: gandissect.choose_num_units(
        n.plain, UNITS, n.yardstick, (0, 1, 2), num_images=24, num_sets=2, num_controls=2, **QUIET
    ),
    "gandissect.compare": lambda n, _: gandissect.compare([_dissect(n), _dissect(n, seed=1)]),
    "gandissect.compare_labels": lambda n, _: gandissect.compare_labels(
        *map(partial(_dissect_labels, n), ("output", "input"))
    ),
    "gandissect.dissect": lambda n, _: _dissect(n),
    "gandissect.dissect, curves": lambda n, _: _dissect(n, curves=True, padding="zeros"),
    "gandissect.dissect_shard": _shards,
    "gandissect.merge_shards": _shards,
    "gandissect.encoder_features": lambda n, _: fidelity.encoder_features(n.segmenter)(n.plain(n.plain.sample_z(2))),
    "gandissect.find_causal_units": lambda n, _: gandissect.find_causal_units(
        *n.pair, "layer2", "red", 2, num_samples=16, **QUIET
    ),
    "gandissect.find_causal_units, effect": lambda n, _: gandissect.find_causal_units(
        *n.pair, "layer2", "red", 2, method="effect", num_samples=8, **QUIET
    ),
    "gandissect.find_repair": lambda n, _: gandissect.find_repair(
        n.plain,
        Pictures(70).pixels[:40],
        n.segmenter,
        held_out=Pictures(70).pixels[40:],
        features=n.segmenter,
        num_samples=140,
        num_images=24,
        **QUIET,
    ),
    "gandissect.generate": lambda n, _: _edits(n),
    "gandissect.intervene": lambda n, _: _intervene(n),
    "gandissect.measure_concept_effects": lambda n, _: gandissect.measure_concept_effects(
        *n.pair, "red", units=UNITS, num_samples=8, **QUIET
    ),
    "gandissect.measure_concept_shares": lambda n, _: gandissect.measure_concept_shares(
        *n.pair, Pictures(70), 20, **QUIET
    ),
    "gandissect.measure_effect_curves": lambda n, _: _curves(n),
    "gandissect.measure_repair": lambda n, _: gandissect.measure_repair(
        n.plain, UNITS, n.yardstick, force_to="mean", num_sets=2, num_controls=2, segmenter=n.segmenter, **QUIET
    ),
    "gandissect.measure_unit_effects": lambda n, _: gandissect.measure_unit_effects(*n.pair, "layer2", 8, **QUIET),
    "gandissect.optimize_units": lambda n, _: gandissect.optimize_units(*n.pair, "layer2", "red", 16, **QUIET),
    "gandissect.present_values": lambda n, _: gandissect.present_values(*n.pair, UNITS, "red", 8),
    "gandissect.quantile_values": lambda n, _: gandissect.quantile_values(n.plain, UNITS, 0.9, 8),
    "gandissect.causal.quantile_table": lambda n, _: causal.quantile_table(n.plain, UNITS, (0.5, 0.9), 8),
    "gandissect.rank_artifact_layers": lambda n, _: gandissect.rank_artifact_layers(
        n.plain, ["layer1", "layer2"], n.yardstick, 40, top_share=0.3, **QUIET
    ),
    "gandissect.rank_artifact_units": lambda n, _: gandissect.rank_artifact_units(
        n.plain, "layer2", n.yardstick, 40, top_share=0.3, method="effect", num_effect=24, **QUIET
    ),
    "gandissect.rank_units_by_iou": lambda n, _: gandissect.rank_units_by_iou(_dissect(n), "layer2", "red"),
    "gandissect.repair": lambda n, _: gandissect.repair(n.plain, UNITS)(n.plain.sample_z(2)),
    "gandissect.artifacts.compute_forced_values": lambda n, _: artifacts.compute_forced_values(n.plain, UNITS, "mean"),
    "gandissect.sample_z": lambda n, _: [gandissect.sample_z(3, 4, seed=4), n.plain.sample_z(2, seed=4)],
    "gandissect.select_units_by_ablation": lambda n, _: gandissect.select_units_by_ablation(
        *n.pair, _dissect(n), "red", 2, 8, **QUIET
    ),
    "gandissect.trace": lambda n, _: _trace(n),
    "gandissect.Yardstick": lambda n, _: n.yardstick.measure(n.plain, num_sets=2),
    "gandissect.Recipe": lambda n, _: gandissect.Recipe.of(n.plain, [Ablation(UNITS)], 1, 0, 2).generate(n.plain),
    "gandissect.latent.hold_class": lambda n, _: latent.hold_class(n.plain, n.plain.sample_z(2, 1)),
    "gandissect.latent.as_w": lambda n, _: n.w(1),
    "gandissect.latent.capabilities": lambda n, _: latent.capabilities(n.style),
    "gandissect.latent.closed_form_directions": lambda n, _: _direction(n),
    "gandissect.latent.component_directions": lambda n, _: [
        latent.component_directions(n.style, 2, num_samples=40, **QUIET),
        latent.component_directions(n.plain, 2, "layer1", 40, in_z=True, **QUIET),
    ],
    "gandissect.latent.corner_grid": lambda n, _: [
        latent.corner_grid(n.style.sample_z(4), 2, 3, curved=True),
        latent.corner_grid(torch.cat([n.w(1), n.w(2)]), 2, 3),
    ],
    "gandissect.latent.cross_over": lambda n, _: latent.cross_over(n.style, n.w(1), n.w(2), 2),
    "gandissect.latent.find_boundaries": lambda n, _: latent.find_boundaries(
        *n.style_pair, ["red", "green"], 60, space="z", **QUIET
    ),
    "gandissect.latent.find_boundary": lambda n, _: latent.find_boundary(*n.style_pair, "red", 60, space="w", **QUIET),
    "gandissect.latent.find_directions": lambda n, _: latent.find_directions(
        *n.style_pair, "sefa", num_directions=2, num_samples=10, **QUIET
    ),
    "gandissect.latent.generate_grid": lambda n, _: latent.generate_grid(n.style, n.style.sample_z(4), 2, 2, "w"),
    "gandissect.latent.images_with_noise": lambda n, _: latent.images_with_noise(n.style, n.w(1), 3),
    "gandissect.latent.invert": lambda n, _: [
        _inversion(n, space="w", noise=True),
        _inversion(n, features=fidelity.encoder_features(n.segmenter), layer="layer3"),
    ],
    "gandissect.latent.Inversion": lambda n, _: [
        (found := _inversion(n)).generate(n.style),
        found.psnr,
        found.lost_concepts(n.segmenter),
    ],
    "gandissect.latent.keep_unchanged": lambda n, _: latent.keep_unchanged(
        n.style, _direction(n), [_direction(n, number=1)]
    ),
    "gandissect.latent.label_direction": lambda n, _: latent.label_direction(
        *n.style_pair, _direction(n), (-1.0, 0.0, 1.0), 10, **QUIET
    ),
    "gandissect.latent.with_labels": lambda n, _: latent.with_labels(
        _direction(n), latent.label_direction(*n.style_pair, _direction(n), (-1.0, 0.0, 1.0), 10, **QUIET)
    ),
    "gandissect.latent.lerp": lambda n, _: latent.lerp(n.w(1), n.w(2), 0.25),
    "gandissect.latent.slerp": lambda n, _: latent.slerp(n.style.sample_z(2, 1), n.style.sample_z(2, 2), 0.25),
    "gandissect.latent.mix_styles": lambda n, _: latent.mix_styles(n.style, n.w(1), n.w(2), [0, 2]),
    "gandissect.latent.mixing_table": lambda n, _: latent.mixing_table(n.style, n.w(1), n.w(2), [0, 2]),
    "gandissect.latent.move": lambda n, _: latent.move(n.style, n.w(1), _direction(n), (-1.0, 1.0)),
    "gandissect.latent.noise_effects": lambda n, _: latent.noise_effects(n.style, n.w(1), 3),
    "gandissect.latent.on_shell": lambda n, _: latent.on_shell(n.style.sample_z(2)),
    "gandissect.latent.path_length": lambda n, _: [
        latent.path_length(n.style, "colors", fidelity.encoder_features(n.segmenter), space, 12, **QUIET)
        for space in ("z", "w")
    ],
    "gandissect.latent.pixel_distance": lambda n, _: latent.pixel_distance(n.style(n.w(1)), n.style(n.w(2))),
    "gandissect.latent.rescore_layers": lambda n, _: _rescore(n),
    "gandissect.latent.style_groups": lambda n, _: latent.style_groups(n.style),
    "gandissect.latent.swap_activations": lambda n, _: latent.swap_activations(
        n.style, n.style.sample_z(2, 1), n.style.sample_z(2, 2), "layer2"
    ),
    "gandissect.latent.swapping_table": lambda n, _: latent.swapping_table(
        n.style, n.style.sample_z(2, 1), n.style.sample_z(2, 2), "layer2"
    ),
    "gandissect.latent.truncated_w": lambda n, _: latent.truncated_w(n.style, n.style.sample_z(2), 0.5),
    "gandissect.latent.truncated_z": lambda n, _: latent.truncated_z(n.plain, 3, limit=1.0),
    "gandissect.fidelity.density_coverage": lambda n, _: fidelity.density_coverage(*_features(n)),
    "gandissect.fidelity.frechet_distance": lambda n, _: fidelity.frechet_distance(*_features(n)),
    "gandissect.fidelity.kernel_distance": lambda n, _: fidelity.kernel_distance(*_features(n)),
    "gandissect.fidelity.nearest_ratio": lambda n, _: fidelity.nearest_ratio(*_features(n), _features(n)[0][:5]),
    "gandissect.fidelity.precision_recall": lambda n, _: fidelity.precision_recall(*_features(n)),
    "gandissect.stats.benjamini_hochberg": lambda n, _: stats.benjamini_hochberg(_features(n)[0].sigmoid() / 100),
    "gandissect.stats.student_t_tail": lambda n, _: stats.student_t_tail(_features(n)[0], 7),
    "segmenters.PaletteSegmenter": lambda n, _: segmenters.PaletteSegmenter(n.segmenter.concepts, 150.0)(
        n.plain(n.plain.sample_z(2))
    ),
    "gandissect.fidelity.realism": lambda n, _: fidelity.realism(*_features(n)),
}
"""By name, and by what they are given where that makes another path through them."""

NOT_CALLED = {
    "gandissect.derive_seed": "makes no tensor",
    "gandissect.draw_comparison": "draws",
    "gandissect.draw_dissection": "draws",
    "gandissect.draw_effect_curves": "draws",
    "gandissect.draw_effects": "draws",
    "gandissect.draw_repair_curve": "draws",
    "gandissect.draw_shares": "draws",
    "gandissect.show": "draws",
    "gandissect.write_repair_report": "writes pages",
    "gandissect.write_report": "writes pages",
}


def _features(n: Networks) -> tuple[Tensor, Tensor]:
    extract = fidelity.encoder_features(n.segmenter)
    return extract(n.plain(n.plain.sample_z(20, 1))), extract(n.plain(n.plain.sample_z(20, 2)))


@cache
def plain_result(name: str) -> Any:
    """Return what a call gives on the CPU with torch's own settings."""
    with TemporaryDirectory() as folder:
        return CALLS[name](make_networks(), Path(folder))


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Return all tensors, numbers and texts in a result by their place in it, on CPU; measured times are left out."""
    if isinstance(value, Tensor):
        return {name: value.detach().cpu()}
    if isinstance(value, nn.Module):
        return {}
    if is_dataclass(value) and not isinstance(value, type):
        timed = {"duration", "seconds", "device"}
        parts = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in timed}
    elif isinstance(value, Mapping):
        parts = {str(key): part for key, part in value.items()}
    elif isinstance(value, tuple | list):
        parts = {str(index): part for index, part in enumerate(value)}
    elif hasattr(value, "records"):
        parts = {"records": value.records()}
    else:
        return {name: value}
    return {key: leaf for part, item in parts.items() for key, leaf in flatten(item, f"{name}.{part}").items()}


def assert_equal_results(one: Any, other: Any, tolerance: float = 0.0) -> None:
    """Check that two results hold the same, of the same types, but for rounding where that is allowed."""
    mine, theirs = flatten(one), flatten(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        wanted = theirs[name]
        assert type(value) is type(wanted), name
        if isinstance(value, Tensor):
            assert value.dtype == wanted.dtype, name
            torch.testing.assert_close(value, wanted, rtol=tolerance, atol=tolerance, equal_nan=True, msg=name)
        elif isinstance(value, float):
            assert (
                math.isclose(value, wanted, rel_tol=tolerance, abs_tol=tolerance)
                or value == wanted
                or (math.isnan(value) and math.isnan(wanted))
            ), name
        else:
            assert value == wanted, name

"""Inversion: generated images come back, figures equal what is counted by hand, and pictures do not mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import generators
import segmenters
from gandissect import Ablation, Scaling, UnitSet, generate
from gandissect.core.sampling import derive_seed
from gandissect.core.types import Concept
from gandissect.latent import Inversion, images_with_noise, invert
from gandissect.latent.inversion.coordinates import dependence
from gandissect.latent.inversion.descent import PictureDistance, descend, search
from gandissect.latent.inversion.invert import _best_start, _LatentLoss
from generators import DCGAN, PlantedGenerator, ProGAN, StyleGAN, StyleGAN2, Translator
from segmenters import PaletteSegmenter

QUICK = {"num_candidates": 100, "num_starts": 2, "num_steps": 20, "progress": False}


def _live(make: Callable[[], nn.Module]) -> nn.Module:
    """An untrained generator whose images differ from each other."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = make().eval().requires_grad_(False)
        for module in made.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
            elif isinstance(module, nn.ConvTranspose2d):
                module.weight.mul_(8)
    return made


def _dcgan() -> nn.Module:
    return _live(lambda: DCGAN(size=16, width=4, z_dim=24))


def _stylegan(cls: type[StyleGAN | StyleGAN2] = StyleGAN) -> nn.Module:
    made = _live(lambda: cls(size=16, width=4, z_dim=8, w_dim=8, mapping_depth=2))
    for name, value in made.named_parameters():
        if name.endswith("noise_strength"):
            value.fill_(0.3)
    return made


def _progan() -> nn.Module:
    return _live(lambda: ProGAN(size=16, width=4, z_dim=8))


def _generated(generator: nn.Module, seeds: range) -> Tensor:
    return torch.cat([generator(generator.sample_z(1, seed)) for seed in seeds]).clamp(-1, 1)


def _foreign(number: int) -> Tensor:
    """Pictures of size 16 that no generator here makes: a slope with a square."""
    pictures = torch.linspace(-0.8, 0.8, 16).expand(number, 3, 16, 16).clone()
    for index in range(number):
        pictures[index, index % 3, 4:10, index : index + 5] = 0.9
    return pictures


def _noisy(seed: int) -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_generated_images_come_back() -> None:
    generator = _dcgan()
    images = _generated(generator, range(20, 30))
    found = invert(generator, images, num_candidates=200, num_steps=100, progress=False)
    nearest = invert(generator, images, num_candidates=200, num_steps=0, progress=False)
    assert (nearest.psnr < 25).sum() >= 5, "or samples alone would do"
    assert (found.psnr >= 30).sum() >= 9
    assert (found.loss_end < found.loss_start).all()
    assert torch.equal(found.loss_start, nearest.loss_end)


def test_features_alone_come_back_by_lbfgs_while_what_they_leave_out_does_not() -> None:
    generator, words = _dcgan(), {"num_candidates": 200, "num_starts": 2, "progress": False}
    images = _generated(generator, range(20, 24))
    left_half = {"features": lambda x: x[..., :4], "pixels": False}
    found = invert(generator, images, **left_half, optimizer="lbfgs", num_steps=60, **words)
    assert (found.with_pixels, found.optimizer) == (False, "lbfgs")
    assert (found.loss_end < 0.05 * found.loss_start).all()
    errors = found.error_maps.mean((0, 1))
    assert errors[:4].mean() < errors[8:].mean() / 2


def test_lbfgs_ends_where_adam_does() -> None:
    generator = _dcgan()
    images, words = _generated(generator, range(20, 24)), {"num_candidates": 200, "num_starts": 2, "progress": False}
    slow = invert(generator, images, num_steps=200, **words)
    fast = invert(generator, images, num_steps=60, optimizer="lbfgs", **words)
    assert fast.loss_end.median() < 1.2 * slow.loss_end.median()


BAD_OBJECTIVES = {
    "nothing to compare": ({"pixels": False}, ValueError, "pixels must be True without features"),
    "unknown": ({"optimizer": "sgd"}, KeyError, "optimizer"),
    "noise": ({"optimizer": "lbfgs", "noise": True, "space": "w"}, ValueError, "use adam, or omit noise"),
}


@pytest.mark.parametrize(("words", "kind", "message"), BAD_OBJECTIVES.values(), ids=BAD_OBJECTIVES)
def test_objectives_that_cannot_be(words: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        invert(_stylegan(), _foreign(1), **words, **QUICK)


def test_several_starts_find_their_way_where_one_is_stuck() -> None:
    generator = _stylegan()
    images, words = _generated(generator, range(20, 26)), {**QUICK, "num_steps": 60}
    one, several = (invert(generator, images, **{**words, "num_starts": count}) for count in (1, 6))
    assert torch.equal(one.loss_start, several.loss_start), "that of the nearest sample"
    assert one.psnr.min() < 28
    assert several.psnr.min() > one.psnr.min() + 5


@pytest.mark.parametrize("with_features", [False, True])
def test_the_best_start_is_that_of_starts_and_pictures_tried_alone(with_features: bool) -> None:
    generator, pictures = _stylegan(), _foreign(3)
    features = (lambda x: [x.mean(1), x[:, :, ::2]]) if with_features else None
    points = search(generator, pictures, "w", False, (40, 4), 1, True)
    loss_of_all = _LatentLoss(
        generator, PictureDistance.of(pictures, points.images, points.variance, features), points.coordinates
    )
    starts, is_first = _best_start(loss_of_all, points.start, 6, quiet=True), []
    for index in range(3):
        distance = PictureDistance.of(pictures[index : index + 1], points.images, points.variance, features)
        loss_of_one = _LatentLoss(generator, distance, points.coordinates)
        ends = [descend(loss_of_one, start[None], 6, "", quiet=True) for start in points.start[index]]
        best = min(ends, key=lambda end: float(end.loss_end))
        assert torch.allclose(starts[index], best.free[0], atol=1e-3)
        is_first.append(best is ends[0])
    assert not all(is_first), "or the nearest sample would do"


def test_memory_does_not_grow_with_the_number_of_starts() -> None:
    largest = 0

    class Counting(DCGAN):
        def forward(self, z: Tensor) -> Tensor:
            nonlocal largest
            largest = max(largest, len(z) * z.requires_grad)
            return super().forward(z)

    generator = _live(lambda: Counting(size=16, width=4, z_dim=24))
    invert(generator, _foreign(3), **{**QUICK, "num_starts": 7, "num_steps": 8})
    assert largest == 3, "all pictures at once, from one start after the other"


def test_images_of_the_planted_generator_come_back_by_samples_alone() -> None:
    generator = PlantedGenerator(size=8, cells=8)
    found = invert(generator, _generated(generator, range(20, 30)), num_candidates=8_192, num_steps=0, progress=False)
    assert (found.psnr >= 30).sum() >= 9
    assert found.psnr.isinf().any(), "an exact one has no error"


@pytest.mark.slow
@pytest.mark.parametrize("name", generators.names())
def test_generated_images_of_bundled_models_come_back(name: str) -> None:
    generator = generators.load(name, device="cpu")
    if isinstance(generator, Translator):
        with pytest.raises(ValueError, match="translates pictures"):
            invert(generator, torch.zeros(1, 3, *generator.image_size))
        return
    space = "ws" if generator.has_w else "z"
    found = invert(generator, _generated(generator, range(20, 30)), space, num_steps=250)
    assert (found.psnr >= 25).sum() >= 9, found.psnr.tolist()


@pytest.mark.parametrize(("make", "space"), [(_dcgan, "z"), (_stylegan, "ws")])
def test_a_picture_does_not_depend_on_its_batch_mates(make, space: str) -> None:
    generator, pictures = make(), _foreign(4)
    here = invert(generator, pictures, space, layer="layer2", **QUICK)
    others = torch.cat([_noisy(1), pictures[2:3], _noisy(2)[:1]])
    there = invert(generator, others, space, layer="layer2", **QUICK)
    assert torch.equal(here.latents[2], there.latents[2])
    assert torch.equal(here.residual[2], there.residual[2])
    assert torch.equal(here.reconstructions[2], there.reconstructions[2])
    alone = invert(generator, pictures[2:3], space, layer="layer2", **QUICK)
    assert torch.allclose(alone.loss_end, here.loss_end[2:3], rtol=1e-2)  # another batch size rounds otherwise


@pytest.mark.parametrize(("with_features", "pixels"), [(False, True), (True, True), (True, False)])
def test_the_start_is_the_nearest_sample_and_its_loss_is_the_formula(with_features: bool, pixels: bool) -> None:
    generator, pictures = _dcgan(), _foreign(3)
    features = (lambda x: [x.mean(1), x[:, :, ::2]]) if with_features else None
    words = {"features": features, "pixels": pixels, "num_candidates": 70, "num_steps": 0, "seed": 4}
    found = invert(generator, pictures, **words, progress=False)
    z = generator.sample_z(70, derive_seed(4, "invert"))
    samples, wanted = generator(z).double().numpy(), pictures.double().numpy()
    variance = samples.var(axis=0).mean()
    own = [part[:64] for part in (samples.mean(1), samples[:, :, ::2])]  # which are in [-1, 1] here
    for index in range(3):
        gaps = ((samples - wanted[index]) ** 2).mean((1, 2, 3))
        best = int(gaps.argmin())
        assert torch.equal(found.latents[index], z[best])
        loss = pixels * gaps[best] / variance + 0.01 * (float(z[best].double().square().mean()) - 1) ** 2
        if with_features:
            theirs = wanted[index].mean(0), wanted[index][:, ::2]
            mine = samples[best].mean(0), samples[best][:, ::2]
            parts = [
                ((a - b) ** 2).mean() / each.var(axis=0, ddof=1).mean()
                for a, b, each in zip(mine, theirs, own, strict=True)
            ]
            loss += (0.2 if pixels else 1) * sum(parts) / 2
        assert float(found.loss_start[index]) == pytest.approx(loss, rel=1e-5)
    assert torch.equal(found.loss_start, found.loss_end)


def test_what_lies_beyond_black_and_white_costs_nothing() -> None:
    class Loud(DCGAN):
        def forward(self, z: Tensor) -> Tensor:
            return 50 * super().forward(z)

    generator = _live(lambda: Loud(size=16, width=4, z_dim=24))
    z = generator.sample_z(40, derive_seed(0, "invert"))
    picture = generator(z[7:8]).clamp(-1, 1)
    found = invert(generator, picture, num_candidates=40, num_steps=0, progress=False)
    prior = 0.01 * (float(z[7].double().square().mean()) - 1) ** 2
    inside = (generator(z[7:8]).abs() < 1).double().mean()
    assert torch.equal(found.latents, z[7:8])
    assert inside < 0.9
    assert float(found.loss_end) == pytest.approx(prior, rel=1e-5)


@pytest.mark.parametrize("space", ["z", "w", "ws"])
def test_every_space_of_styles_comes_nearer_than_samples(space: str) -> None:
    generator, pictures = _stylegan(), _foreign(3)
    found = invert(generator, pictures, space, **QUICK)
    nearest = invert(generator, pictures, space, **{**QUICK, "num_steps": 0})
    assert (found.psnr > nearest.psnr).all()
    if space == "z":
        length = found.latents.norm(dim=1)
        assert torch.allclose(length, torch.full_like(length, generator.z_dim**0.5), rtol=1e-5)
    else:
        one = torch.equal(found.latents, found.latents[:, :1].expand_as(found.latents))
        assert one == (space == "w")
        assert found.latents.shape == (3, generator.mapping.num_ws, 8)


def test_z_of_foreign_pictures_stays_near_its_shell() -> None:
    for make, slack in ((_dcgan, 0.75), (_progan, 1e-5)):
        found = invert(make(), _foreign(4), **QUICK)
        assert (found.latents.square().mean(1) - 1).abs().max() <= slack


def test_a_residual_lowers_the_error_and_is_added_to_the_layer() -> None:
    generator, pictures = _dcgan(), _foreign(4)
    without = invert(generator, pictures, **QUICK)
    found = invert(generator, pictures, layer="layer2", **QUICK)
    assert torch.equal(found.latents, without.latents)
    assert (found.psnr > without.psnr + 1).all()
    assert (found.loss_end < without.loss_end).all()
    made = generator.tail(generator.head(found.latents, "layer2") + found.residual, "layer2", found.latents)
    assert (found.reconstructions.float() - (made.clamp(-1, 1) + 1) * 127.5).abs().max() <= 0.5 + 1e-3


@pytest.mark.parametrize("cls", [StyleGAN, StyleGAN2])
def test_noise_of_a_picture_s_own_is_found(cls: type[StyleGAN | StyleGAN2]) -> None:
    generator = _stylegan(cls)
    latents = generator.mapping(generator.sample_z(2, seed=3))
    pictures = images_with_noise(generator, latents, seed=8).clamp(-1, 1)
    without = invert(generator, pictures, "ws", **{**QUICK, "num_steps": 60})
    found = invert(generator, pictures, "ws", noise=True, **{**QUICK, "num_steps": 60})
    assert (found.psnr > without.psnr + 1).all()
    made = (generator.synthesis(found.latents, found.noise).clamp(-1, 1) + 1) * 127.5
    assert (made - found.reconstructions.float()).abs().max() <= 0.5 + 1e-3
    for each, info in zip(found.noise, generator.layers.values(), strict=True):
        assert each.shape == (2, 1, info.height, info.width)
        assert torch.allclose(each.mean((1, 2, 3)), torch.zeros(2), atol=1e-5)
        assert torch.allclose(each.square().mean((1, 2, 3)), torch.ones(2), atol=1e-4)
    edit = Ablation(UnitSet("layer3", (0, 1)))
    edited = generate(generator.with_noise(found.noise), found.latents, [edit])
    assert torch.equal(found.generate(generator, [edit]), edited)
    alone = invert(generator, pictures[1:], "ws", noise=True, **{**QUICK, "num_steps": 0})
    both = invert(generator, pictures, "ws", noise=True, **{**QUICK, "num_steps": 0})
    assert all(torch.equal(one[0], two[1]) for one, two in zip(alone.noise, both.noise, strict=True))
    assert all(torch.equal(one[:1], own) for one, own in zip(both.noise, generator.own_noise(), strict=True))


def test_the_prior_of_noise_equals_that_of_loops() -> None:
    maps = [_noisy(2)[:, :1], _foreign(2)[:, :1], _noisy(2)[:, 1:2, :4, :4]]

    def written_out(noise: np.ndarray) -> list[float]:
        side, terms = len(noise), []
        for down, right in ((1, 0), (0, 1)):
            total = 0.0
            for row in range(side):
                for column in range(side):
                    total += noise[row, column] * noise[(row + down) % side, (column + right) % side]
            terms.append(max(0.0, side**2 * (total / side**2) ** 2 - 1))
        if side > 8:
            half = np.array(
                [
                    [noise[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum() / 2 for j in range(side // 2)]
                    for i in range(side // 2)
                ]
            )
            terms += written_out(half)
        return terms

    wanted = [
        np.mean([term for each in maps for term in written_out(each[index, 0].double().numpy())]) for index in range(2)
    ]
    assert dependence(tuple(maps)).tolist() == pytest.approx(wanted, rel=1e-4)
    assert min(wanted) > 1  # slopes are far from independent


@pytest.mark.parametrize("edited", ["layer1", "layer2", "layer3"])
def test_edits_are_made_before_with_and_after_a_residual(edited: str) -> None:
    generator = _live(lambda: DCGAN(size=32, width=4, z_dim=24))
    pictures = torch.nn.functional.interpolate(_foreign(2), 32)
    found = invert(generator, pictures, layer="layer2", **QUICK)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    made = found.generate(generator, [Ablation(UnitSet(edited, (0, 2))), Scaling(UnitSet("layer3", (1,)), 2.0)])
    x = found.latents[:, :, None, None]
    for name in ("layer1", "layer2", "layer3"):
        x = getattr(generator, name)(x).clone()
        if name == "layer2":
            x = x + found.residual
        if name == edited:
            x[:, [0, 2]] = 0
        if name == "layer3":
            x[:, 1] *= 2
    assert torch.allclose(made, generator.tail(x, "layer3", found.latents), atol=1e-5)
    assert not torch.allclose(made, found.generate(generator), atol=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def test_psnr_and_error_maps_equal_those_of_numpy() -> None:
    found = invert(_dcgan(), _foreign(3), **QUICK)
    pictures, made = (each.numpy().astype(np.float64) for each in (found.pictures, found.reconstructions))
    for index in range(3):
        error = np.mean((pictures[index] - made[index]) ** 2)
        assert float(found.psnr[index]) == pytest.approx(20 * np.log10(255 / np.sqrt(error)))
        wanted = np.abs(pictures[index] - made[index]).sum(0) / 3 / 255
        assert np.allclose(found.error_maps[index].numpy(), wanted, atol=1e-6)
    assert torch.equal(found.pictures, ((_foreign(3) + 1) * 127.5).round().to(torch.uint8))


def test_lost_concepts_are_counted_by_hand() -> None:
    concepts = (Concept(0, "ground", (0, 0, 0)), Concept(1, "red", (255, 0, 0)), Concept(2, "blue", (0, 0, 255)))
    concepts += (Concept(3, "green", (0, 255, 0)),)
    found = invert(_dcgan(), _foreign(2), **QUICK)
    pictures, made = torch.zeros_like(found.pictures), torch.zeros_like(found.pictures)
    pictures[0, 0, :4, :4] = 255  # 16 red pixels
    pictures[1, 2, :, :2] = 255  # 32 blue ones
    made[0, 0, :2, :2] = 255  # of which 4
    made[1, 2, :, 5:8] = 255  # and 48 are there, elsewhere
    found = replace(found, pictures=pictures, reconstructions=made)
    lost = found.lost_concepts(PaletteSegmenter(concepts))
    assert lost.pictures.tolist() == [[240 / 256, 16 / 256, 0, 0], [224 / 256, 0, 32 / 256, 0]]
    assert lost.reconstructions.tolist() == [[252 / 256, 4 / 256, 0, 0], [208 / 256, 0, 48 / 256, 0]]
    assert not lost.pictures.is_inference()
    records = lost.records()
    assert [each["concept"] for each in records] == ["red", "ground", "blue"]
    assert records[0]["change"] == pytest.approx(-6 / 256)
    assert records[0]["stderr"] == pytest.approx(np.std([-12 / 256, 0], ddof=1) / 2**0.5)
    assert (records[0]["picture"], records[0]["reconstruction"]) == (8 / 256, 2 / 256)


def test_an_inversion_comes_back_from_its_file(tmp_path: Path) -> None:
    generator = _dcgan()
    for layer in (None, "layer2"):
        found = invert(generator, _foreign(2), layer=layer, features=lambda x: x.mean(1), **QUICK)
        found.save(tmp_path, overwrite=True)
        again = Inversion.load(tmp_path)
        for name in Inversion.__dataclass_fields__:
            one, other = getattr(found, name), getattr(again, name)
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other, name
        again_made = (again.generate(generator).clamp(-1, 1) + 1) * 127.5
        assert torch.equal(again_made.round().to(torch.uint8), again.reconstructions)
    with pytest.raises(ValueError, match="the inversion belongs to dcgan with fingerprint"):
        again.generate(_progan())
    with pytest.raises(ValueError, match="pass both or neither"):
        replace(found, layer=None)


@pytest.mark.wrong_shape
def test_latents_of_fewer_pictures_make_no_inversion() -> None:
    inversion = invert(_dcgan(), _foreign(2), **QUICK)
    with pytest.raises(ValueError, match="latents must be"):
        replace(inversion, latents=inversion.latents[:1])


def test_values_that_cannot_be_make_no_inversion() -> None:
    generator = _dcgan()
    found = invert(generator, _foreign(2), layer="layer2", **QUICK)
    for name in ("latents", "residual", "loss_start", "loss_end"):
        bad = getattr(found, name).clone()
        bad.view(-1)[-1] = torch.nan
        with pytest.raises(ValueError, match="must be finite"):
            replace(found, **{name: bad})
    with pytest.raises(ValueError, match="noise must be finite"):
        replace(found, noise=(torch.full((2, 1, 4, 4), torch.inf),))
    for name in ("num_candidates", "num_starts", "num_steps"):
        with pytest.raises(ValueError, match="counts of at least 0"):
            replace(found, **{name: -1})
    for residual in (found.residual[:, :, :1], found.residual[:, :1], found.residual[:, :3]):  # two would be broadcast
        with pytest.raises(ValueError, match="the shape of the activations of 'layer2'"):
            replace(found, residual=residual).generate(generator)


def test_the_caller_s_mode_does_not_matter_and_the_generator_stays_as_it_is() -> None:
    generator, pictures = _dcgan(), _foreign(2)
    outside = invert(generator, pictures, **QUICK)
    with torch.inference_mode():
        inside = invert(generator, pictures.clone(), **QUICK)
    assert torch.equal(outside.latents, inside.latents)
    assert torch.equal(outside.latents, invert(generator, pictures, **QUICK).latents)
    assert not inside.latents.is_inference()
    assert all(value.grad is None and not value.requires_grad for value in generator.parameters())
    assert not any(module._forward_hooks for module in generator.modules())
    other = invert(generator, pictures, **{**QUICK, "seed": 1})
    assert not torch.equal(outside.latents, other.latents)


def test_gradients_flow_through_the_encoder_of_a_segmenter() -> None:
    network = segmenters.load("unet-scenes", device="cpu")
    image = torch.zeros(1, 3, 32, 32, requires_grad=True)
    (slope,) = torch.autograd.grad(sum(each.square().sum() for each in network.encode(image)), image)
    assert slope.abs().max() > 0
    assert not any(each.requires_grad for each in network.encode(torch.zeros(1, 3, 32, 32)))


def _frozen() -> nn.Module:
    with torch.inference_mode():
        return _dcgan()


def _detached(images: Tensor) -> Tensor:
    with torch.no_grad():
        return images.mean(1)


MISTAKES = {
    "another size": (_dcgan, {"images": torch.zeros(1, 3, 8, 8)}, ValueError, r"the size of dcgan, \[3, 16, 16\]"),
    "integers": (_dcgan, {"images": torch.zeros(1, 3, 16, 16, dtype=torch.uint8)}, ValueError, "must be float"),
    "one picture": (_dcgan, {"images": torch.zeros(3, 16, 16)}, ValueError, "must be float"),
    "none": (_dcgan, {"images": torch.zeros(0, 3, 16, 16)}, ValueError, "must be float"),
    "0 to 255": (_dcgan, {"images": torch.full((1, 3, 16, 16), 200.0)}, ValueError, r"x / 127.5 - 1"),
    "not a number": (_dcgan, {"images": torch.full((1, 3, 16, 16), torch.nan)}, ValueError, r"in \[-1, 1\]"),
    "no w": (_dcgan, {"space": "w"}, ValueError, "has no w, only z"),
    "no ws": (_progan, {"space": "ws"}, ValueError, "has no w, only z"),
    "no such space": (_dcgan, {"space": "y"}, ValueError, "unknown latent space 'y'"),
    "noise of none": (_dcgan, {"noise": True}, ValueError, "only in w or ws of a generator that has noise"),
    "noise in z": (_stylegan, {"noise": True}, ValueError, "got z of stylegan"),
    "no such layer": (_dcgan, {"layer": "layer9"}, KeyError, "unknown layer 'layer9'; did you mean"),
    "one candidate": (_dcgan, {"num_candidates": 1, "num_starts": 1}, ValueError, "at least 2 candidates"),
    "no start": (_dcgan, {"num_starts": 0}, ValueError, "at least 2 candidates, 1 start"),
    "more starts than samples": (_dcgan, {"num_starts": 101}, ValueError, "no more starts than candidates"),
    "negative steps": (_dcgan, {"num_steps": -1}, ValueError, "at least 0 steps"),
    "no steps": (
        _dcgan,
        {"num_steps": 0, "layer": "layer1"},
        ValueError,
        "num_steps must be at least 1 to find a residual",
    ),
    "steps": (lambda: PlantedGenerator(size=16, cells=4), {}, ValueError, "no gradients flow through planted"),
    "inference mode": (_frozen, {}, ValueError, "load it outside torch.inference_mode"),
    "features without": (_dcgan, {"features": _detached}, ValueError, "no gradients flow through the features"),
    "constant features": (
        _dcgan,
        {"features": lambda x: 0 * x},
        ValueError,
        "features must vary over the generator's images",
    ),
}


@pytest.mark.wrong_shape
@pytest.mark.parametrize(("make", "given", "kind", "hint"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_named(make, given: dict[str, object], kind: type[Exception], hint: str) -> None:
    with pytest.raises(kind, match=hint):
        invert(make(), **{"images": _foreign(1), **QUICK, **given})


def test_what_is_not_finite_is_named() -> None:
    class Broken(DCGAN):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(z) / (z[:, :1, None, None] < 1.5)

    with pytest.raises(ValueError, match="a NaN or infinite pixel in sample"):
        invert(_live(lambda: Broken(size=16, width=4, z_dim=24)), _foreign(1), **QUICK)
    start = torch.tensor([[1.0], [0.35]])  # the second falls by 0.1 a step at most, below 0 in a few
    with pytest.raises(ValueError, match=r"the loss of picture 1 is not finite at step [4-9]$"):
        descend(lambda free: free[:, 0].log(), start, 40, "", quiet=True)


def test_a_descent_ends_in_the_minimum_and_keeps_the_best() -> None:
    start, aim = torch.zeros(3, 4), torch.tensor([[1.0], [-2.0], [0.0]])
    best = descend(lambda free: (free - aim).square().sum(1) + 5, start, 200, "", quiet=True)
    assert torch.allclose(best.free, aim.expand(3, 4), atol=1e-3)
    assert best.loss_start.tolist() == [9, 21, 5]
    assert torch.allclose(best.loss_end, torch.full((3,), 5.0).double(), atol=1e-5)
    assert torch.equal(best.free[2], start[2])


def test_an_encoder_gives_the_first_start() -> None:
    """Without steps its latent vectors are the result; with steps, nothing worse than its start."""
    generator = _dcgan()
    true = generator.sample_z(3, seed=11)
    images = generator(true).clamp(-1, 1)
    exact = invert(generator, images, encoder=lambda _: true, num_candidates=20, num_steps=0, progress=False)
    assert torch.equal(exact.latents, true)
    near = invert(generator, images, encoder=lambda _: true + 0.1, **QUICK | {"num_starts": 1})
    assert (near.loss_end < near.loss_start).all()
    samples = invert(generator, images, **QUICK | {"num_starts": 1})
    assert (near.loss_start < samples.loss_start).all(), "nearer than any sample"


def test_an_encoder_s_vectors_are_mapped_to_the_space() -> None:
    generator = _stylegan()
    z = generator.sample_z(2, seed=11)
    for space in ("w", "ws"):
        inversion = invert(
            generator, _foreign(2), space, encoder=lambda _: z, num_candidates=20, num_steps=0, progress=False
        )
        torch.testing.assert_close(inversion.latents, generator.mapping(z))


def test_bad_starts_lose_against_the_nearest_samples() -> None:
    generator, images = _dcgan(), _generated(_dcgan(), range(2))
    bad = invert(generator, images, encoder=lambda x: torch.full((len(x), 24), 9.0), **QUICK)
    assert (bad.loss_end < bad.loss_start / 2).all()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (torch.zeros(2, 5), r"encoder must return latent vectors, float \[2, 24\]; got torch.float32 \[2, 5\]"),
        (torch.zeros(2, 24, dtype=torch.int64), r"encoder must return .*; got torch.int64 \[2, 24\]"),
        ("z", r"encoder must return .*; got str"),
        (torch.full((2, 24), torch.nan), "encoder must return finite latent vectors; got a NaN or infinite number"),
    ],
    ids=["shape", "integers", "text", "nan"],
)
def test_what_an_encoder_must_return(answer: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        invert(_dcgan(), _foreign(2), encoder=lambda _: answer, **QUICK)

"""StyleGAN3 files, against the paper's formulas in float64 numpy, one sample and one unit after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pickled_files import nvlabs_file

import generators
from gandissect import Ablation, Insertion, UnitSet, generate, repair
from generators.architectures.stylegan3 import StyleGAN3
from generators.importers.families.stylegan3 import LAYOUTS

Arrays = dict[str, np.ndarray]
(LAYOUT,) = LAYOUTS
Z, W, SIZE, WAVES = 6, 5, 32, 6
LAYERS = [  # canvas, units, grids as fine, filter in front of the coarser grid
    (24, 7, 2, 2),
    (40, 6, 4, 2),
    (40, 5, 2, 2),
    (32, 4, 2, 2),
]


def _row(factor: int, taps: int) -> np.ndarray:
    """A windowed sinc; any symmetric filter would do."""
    row = np.sinc((np.arange(taps) - (taps - 1) / 2) / factor) * np.kaiser(taps, 6.0)
    return row / row.sum()


def _disk(factor: int, taps: int) -> np.ndarray:
    """A filter that depends only on the distance from the center."""
    place = np.arange(taps) - (taps - 1) / 2
    square = np.exp(-0.5 * np.add.outer(place**2, place**2) / factor**2) * np.outer(
        np.kaiser(taps, 2), np.kaiser(taps, 2)
    )
    return square / square.sum()


def _file(*, rotation: bool = False, classes: int = 0, colors: int = 3, seed: int = 0) -> Arrays:
    """The tensors of a file of NVlabs stylegan3, random, of tiny widths."""
    rng = np.random.default_rng(seed)

    def affine(name: str, units: int) -> Arrays:
        return {
            f"{name}.affine.weight": rng.normal(size=(units, W)),
            f"{name}.affine.bias": 1 + 0.3 * rng.normal(size=units),
        }

    before = Z + (W if classes else 0)
    arrays = {
        "mapping.fc0.weight": rng.normal(size=(W, before)) / 0.01,
        "mapping.fc0.bias": rng.normal(size=W) / 0.03,
        "mapping.fc1.weight": rng.normal(size=(W, W)) / 0.01,
        "mapping.fc1.bias": rng.normal(size=W) / 0.03,
        "mapping.w_avg": rng.normal(size=W),
        "synthesis.input.weight": rng.normal(size=(WAVES, WAVES)),
        "synthesis.input.transform": np.eye(3),
        "synthesis.input.freqs": rng.normal(size=(WAVES, 2)),
        "synthesis.input.phases": rng.uniform(-0.5, 0.5, size=WAVES),
        **affine("synthesis.input", 4),
    }
    if classes:
        arrays |= {"mapping.embed.weight": rng.normal(size=(W, classes)), "mapping.embed.bias": rng.normal(size=W)}
    kernel, before = 1 if rotation else 3, WAVES
    for index, (side, units, up, down) in enumerate(LAYERS):
        name, last = f"synthesis.L{index}_{side}_{units}", index == len(LAYERS) - 1
        arrays |= affine(name, before) | {
            f"{name}.weight": rng.normal(size=(units, before, kernel, kernel)),
            f"{name}.bias": 0.5 * rng.normal(size=units),
            f"{name}.magnitude_ema": np.array(rng.uniform(0.3, 2)),
            f"{name}.up_filter": _row(up, 6 * up),
            f"{name}.down_filter": _disk(down, 6 * down) if rotation and not last else _row(down, 6 * down),
        }
        before = units
    name = f"synthesis.L{len(LAYERS)}_{SIZE}_{colors}"
    return (
        arrays
        | affine(name, before)
        | {
            f"{name}.weight": rng.normal(size=(colors, before, 1, 1)),
            f"{name}.bias": rng.normal(size=colors),
            f"{name}.magnitude_ema": np.array(0.7),
        }
    )


def _tensors(arrays: Arrays) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.asarray(array)).float() for name, array in arrays.items()}


def _built(
    arrays: Arrays, options: Mapping[str, Any] | None = None, facts: Mapping[str, Any] | None = None
) -> StyleGAN3:
    generator = LAYOUT.build(_tensors(arrays), facts or {}, options or {})
    assert isinstance(generator, StyleGAN3)
    return generator


class Paper:
    """The forward pass in float64."""

    def __init__(self, arrays: Arrays, edit: Callable[[np.ndarray], None] = lambda _: None) -> None:
        self.edit = edit  # of the canvas of layer2
        self.arrays = {name: np.asarray(array, dtype=np.float32).astype(np.float64) for name, array in arrays.items()}
        found = {name.split(".")[1] for name in arrays if name.startswith("synthesis.L")}
        self.layers = sorted(found, key=lambda name: int(name[1:].split("_")[0]))
        self.shown: list[np.ndarray] = []

    def mapping(self, z: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
        x = z / np.sqrt((z**2).mean() + 1e-8)
        if c is not None:
            y = self.arrays["mapping.embed.weight"] @ c / np.sqrt(len(c)) + self.arrays["mapping.embed.bias"]
            x = np.concatenate([x, y / np.sqrt((y**2).mean() + 1e-8)])
        for layer in ("mapping.fc0", "mapping.fc1"):
            x = 0.01 * self.arrays[f"{layer}.weight"] @ x / np.sqrt(len(x)) + 0.01 * self.arrays[f"{layer}.bias"]
            x = np.sqrt(2) * np.where(x > 0, x, 0.2 * x)
        return x

    def image(self, ws: np.ndarray) -> np.ndarray:
        """The image of one ``ws``; what each layer shows of its canvas is kept in ``shown``."""
        rates = [16, 16, 32, 32, 32]
        x = self.waves(ws[0], LAYERS[0][0], rates[0])
        self.shown = [_middle(x, rates[0])]
        for index, name in enumerate(self.layers[:-1]):
            x = self.layer(f"synthesis.{name}", x, ws[index + 1], *LAYERS[index])
            if index == 0:
                self.edit(x)
            self.shown.append(_middle(x, rates[index + 1]))
        name = f"synthesis.{self.layers[-1]}"
        style = self.style(name, ws[-1]) / np.sqrt(len(x))
        weight = self.arrays[f"{name}.weight"][:, :, 0, 0] * style / np.sqrt(self.arrays[f"{name}.magnitude_ema"])
        picture = np.tensordot(weight, x, axes=1) + self.arrays[f"{name}.bias"][:, None, None]
        return 0.25 * np.clip(picture, -256, 256)

    def style(self, name: str, w: np.ndarray) -> np.ndarray:
        return self.arrays[f"{name}.affine.weight"] @ w / np.sqrt(len(w)) + self.arrays[f"{name}.affine.bias"]

    def waves(self, w: np.ndarray, side: int, rate: int) -> np.ndarray:
        """Places are moved, not waves: the user's transform, then minus the shift, then the turn."""
        cosine, sine, right, down = self.style("synthesis.input", w) / np.hypot(*self.style("synthesis.input", w)[:2])
        matrix = self.arrays["synthesis.input.transform"]
        x = np.zeros((WAVES, side, side))
        for row in range(side):
            for column in range(side):
                place = np.array([(column + 0.5) - side / 2, (row + 0.5) - side / 2]) / rate
                place = matrix[:2, :2] @ place + matrix[:2, 2] - np.array([right, down])
                place = np.array([cosine * place[0] - sine * place[1], sine * place[0] + cosine * place[1]])
                cycles = self.arrays["synthesis.input.freqs"] @ place + self.arrays["synthesis.input.phases"]
                x[:, row, column] = np.sin(2 * np.pi * cycles)
        return np.tensordot(self.arrays["synthesis.input.weight"], x, axes=1) / np.sqrt(WAVES)

    def layer(self, name: str, x: np.ndarray, w: np.ndarray, side: int, units: int, up: int, down: int) -> np.ndarray:
        modulated = self.arrays[f"{name}.weight"] * self.style(name, w)[None, :, None, None]
        modulated /= np.sqrt((modulated**2).sum(axis=(1, 2, 3), keepdims=True))
        modulated /= np.sqrt(self.arrays[f"{name}.magnitude_ema"])
        rise, fall = (self.arrays[f"{name}.{part}_filter"] for part in ("up", "down"))
        fall = np.outer(fall, fall) if fall.ndim == 1 else fall
        return np.stack(
            [
                _filtered(_correlated(x, modulated[j]) + self.arrays[f"{name}.bias"][j], rise, up, fall, down, side)
                for j in range(units)
            ]
        )


def _middle(x: np.ndarray, side: int) -> np.ndarray:
    margin = (x.shape[1] - side) // 2
    return x[:, margin : margin + side, margin : margin + side]


def _correlated(x: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    """The sum over units at all positions where the kernel touches the grid, which enlarges the canvas."""
    reach = kernels.shape[1] - 1
    wide = np.pad(x, [(0, 0), (reach, reach), (reach, reach)])
    side = x.shape[1] + reach
    out = np.zeros((side, side))
    for row, column in np.ndindex(kernels.shape[1:]):
        out += np.tensordot(kernels[:, row, column], wide[:, row : row + side, column : column + side], axes=1)
    return out


def _filtered(x: np.ndarray, rise: np.ndarray, up: int, fall: np.ndarray, down: int, side: int) -> np.ndarray:
    """Leaky ReLU on a finer grid, with each sample placed by its distance from the center."""
    n, taps = len(x), len(rise)
    spread = np.zeros((up * (n - 1) + taps, n))
    for place in range(n):
        spread[up * place : up * place + taps, place] = up * rise
    fine = spread @ x @ spread.T
    fine = np.clip(np.sqrt(2) * np.where(fine > 0, fine, 0.2 * fine), -256, 256)
    first = -(n - 1) / 2 * up - (taps - 1) / 2  # where the fine grid begins
    start = -(side - 1) / 2 * down - (len(fall) - 1) / 2 - first + 200
    assert start == int(start), "the grids have no common places"
    wide, out = np.pad(fine, 200), np.zeros((side, side))
    for row, column in np.ndindex(fall.shape):
        rows, columns = (slice(int(start) + tap, int(start) + tap + down * side, down) for tap in (row, column))
        out += fall[row, column] * wide[rows, columns][:side, :side]
    return out


@pytest.mark.parametrize("rotation", [False, True], ids=["T", "R"])
def test_images_and_activations_are_those_of_the_paper(rotation: bool) -> None:
    arrays = _file(rotation=rotation)
    arrays["synthesis.L1_40_6.bias"][2] = 300.0  # beyond the bound
    generator, paper = _built(arrays), Paper(arrays)
    z = generator.sample_z(2, seed=4)
    for row in range(2):
        w = paper.mapping(z[row].double().numpy())
        np.testing.assert_allclose(generator.mapping(z)[row, 0].double().numpy(), w, atol=1e-5)
        wanted = paper.image(np.tile(w, (len(LAYERS) + 2, 1)))
        assert wanted.std() > 0.1
        np.testing.assert_allclose(generator(z)[row].double().numpy(), wanted, atol=1e-4)
        for layer, shown in zip(generator.layers, paper.shown, strict=True):
            own = generator.head(z, layer)[row].double().numpy()
            np.testing.assert_allclose(own, shown, atol=1e-4 * max(1, abs(shown).max()))


def test_each_latent_vector_reaches_its_layer_and_the_transform_is_the_users() -> None:
    arrays = _file(seed=1)
    angle = 0.3
    arrays["synthesis.input.transform"] = np.array(
        [[np.cos(angle), -np.sin(angle), 0.1], [np.sin(angle), np.cos(angle), -0.2], [0, 0, 1]]
    )
    generator, paper = _built(arrays), Paper(arrays)
    ws = torch.randn(1, len(LAYERS) + 2, W, generator=torch.Generator().manual_seed(2))
    np.testing.assert_allclose(generator(ws)[0].double().numpy(), paper.image(ws[0].double().numpy()), atol=1e-4)
    assert torch.equal(generator.synthesis(ws), generator(ws))


def test_a_class_is_chosen_at_import() -> None:
    arrays = _file(classes=3)
    paper = Paper(arrays)
    generator = _built(arrays, {"c": 1})
    z = generator.sample_z(1)
    w = paper.mapping(z[0].double().numpy(), np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(generator(z)[0].double().numpy(), paper.image(np.tile(w, (6, 1))), atol=1e-4)
    with pytest.raises(ValueError, match="3 classes: set the option c"):
        _built(arrays)


def test_what_is_found_is_said_and_gray_is_three_times_gray() -> None:
    tensors = _tensors(_file(colors=1))
    fit = LAYOUT.fit(tensors, {})
    assert fit.is_whole
    assert fit.settings == {"architecture": "stylegan3", "height": 32, "width": 32, "z_dim": 6, "layers": 5}
    generator = LAYOUT.build(tensors, {}, {})
    assert [(info.units, info.height) for info in generator.layers.values()] == [
        (6, 16),
        (7, 16),
        (6, 32),
        (5, 32),
        (4, 32),
    ]
    image = generator(generator.sample_z(2))
    assert torch.equal(image[:, 0], image[:, 1])


def test_what_the_file_says_besides_is_heeded() -> None:
    arrays = _file()
    generator = _built(arrays)
    z = generator.sample_z(2)
    brighter = _built(arrays, facts={"init_kwargs": {"output_scale": 0.5}})
    assert torch.allclose(brighter(z), 2 * generator(z), atol=1e-5)
    with pytest.raises(ValueError, match="bound on activations must be 256; got 16"):
        _built(arrays, facts={"init_kwargs": {"conv_clamp": 16}})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("synthesis.L2_40_5.up_filter", lambda x: x + np.arange(len(x)), "must be symmetric"),
        ("synthesis.L2_40_5.up_filter", lambda x: x[1:-1], r"up_filter must be a row or a square of 6, 12"),
        (
            "synthesis.L2_40_5.down_filter",
            lambda x: np.concatenate([x, x, x]),
            "a canvas of 24 cannot contain an image of 48 samples",
        ),
        ("synthesis.L2_40_5.weight", lambda x: x[:, :5], r"L2_40_5\.weight \[5, 5, 3, 3\]"),
        ("synthesis.L2_40_5.weight", lambda x: x * np.nan, "L2_40_5.weight contains NaN or infinity"),
        ("synthesis.L2_40_5.bias", lambda x: None, r"missing synthesis\.L2_40_5\.bias"),
        ("synthesis.input.transform", lambda x: 2 * x, "must be a rotation and translation"),
        ("synthesis.L2_40_5.noise", lambda x: np.zeros(2), r"unexpected synthesis\.L2_40_5\.noise"),
    ],
)
def test_what_does_not_fit_is_named(name: str, change: Any, message: str) -> None:
    arrays = _file()
    changed = change(arrays.pop(name, None))
    arrays |= {} if changed is None else {name: changed}
    with pytest.raises(ValueError, match=message):
        _built(arrays)


def test_nothing_fits_a_file_of_something_else() -> None:
    fit = LAYOUT.fit({"main.0.weight": torch.zeros(3, 3)}, {})
    assert not fit.is_whole
    assert "synthesis.input.freqs" in fit.missing
    assert fit.unexpected == ["main.0.weight"]


def test_a_unit_given_one_value_everywhere_has_it_on_all_of_the_canvas() -> None:
    arrays = _file()
    generator, z = _built(arrays), torch.randn(1, Z, generator=torch.Generator().manual_seed(5))
    ws = generator.mapping(z)[0].double().numpy()
    for value in (0.0, 1.5):
        paper = Paper(arrays, edit=lambda x, value=value: x.__setitem__(3, value))
        edits = [Insertion(UnitSet("layer2", (3,)), value)]
        np.testing.assert_allclose(generate(generator, z, edits)[0].double().numpy(), paper.image(ws), atol=1e-4)
    units = UnitSet("layer2", (3,))
    assert torch.equal(repair(generator, units)(z), generate(generator, z, [Ablation(units)]))


def test_a_unit_edited_in_a_region_keeps_its_margin() -> None:
    arrays = _file()
    generator, z = _built(arrays), torch.randn(1, Z, generator=torch.Generator().manual_seed(5))
    region = torch.zeros(16, 16)
    region[:3, 5:] = 1

    def edit(x: np.ndarray) -> None:
        x[3, 4 : 4 + 3, 4 + 5 : 4 + 16] = 0

    paper = Paper(arrays, edit)
    edited = generate(generator, z, [Ablation(UnitSet("layer2", (3,)), region)])
    wanted = paper.image(generator.mapping(z)[0].double().numpy())
    np.testing.assert_allclose(edited[0].double().numpy(), wanted, atol=1e-4)
    assert (edited - generator(z)).abs().max() > 0.03


@pytest.mark.parametrize("rotation", [False, True], ids=["T", "R"])
def test_a_pickle_of_nvlabs_gives_the_same_as_its_tensors(rotation: bool, tmp_path: Path) -> None:
    arrays = _file(rotation=rotation)
    kwargs = {"z_dim": Z, "c_dim": 0, "w_dim": W, "img_resolution": SIZE, "mapping_kwargs": {"num_layers": 2}}
    (tmp_path / "mine.pkl").write_bytes(nvlabs_file(_tensors(arrays), kwargs))
    generator, wanted = generators.load(tmp_path / "mine.pkl", device="cpu"), _built(arrays)
    z = wanted.sample_z(2)
    assert torch.equal(generator(z), wanted(z))
    generators.save(generator, tmp_path / "mine.safetensors", half=False)
    assert generators.load(tmp_path / "mine.safetensors", device="cpu").fingerprint == generator.fingerprint

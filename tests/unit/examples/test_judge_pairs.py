"""What ``examples/judge_pairs.py`` measures: the ceiling of real pairs, and masks of labels and of edges."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

import generators
from gandissect.core import Concept, from_uint8
from generators.architectures.cogan import CoGAN
from segmenters.datasets import Scenes, find_edges, open_pictures


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[3] / "examples" / "judge_pairs.py"
    spec = importlib.util.spec_from_file_location("judge_pairs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["judge_pairs"] = module
    spec.loader.exec_module(module)
    return module


class Thirds:
    """A segmenter of brightness: dark, middle and light pixels; the very darkest have no concept."""

    concepts = tuple(Concept(index, name, (0, 0, index)) for index, name in enumerate(("dark", "middle", "light")))

    def __call__(self, images: Tensor) -> Tensor:
        return torch.bucketize(images[:, 0].contiguous(), torch.tensor([-0.9, -0.3, 0.3])) - 1


def _open(specs: Sequence[str], size: int = 32) -> object:
    return open_pictures(specs, size)[0]


def test_edges_of_real_pictures_and_their_pairs_overlap_entirely(example: ModuleType) -> None:
    source = _open(["plain=scenes:70@dusk", "edges=edges:scenes:70@dusk"])
    found = example.compare_real(source, (example.edge_masks, example.light_masks), 70, torch.device("cpu"))
    assert found.pairs.tolist() == [1.0] * 70
    assert found.chance < 0.9


def test_each_first_picture_is_compared_with_the_second_of_its_pair_and_of_the_next(example: ModuleType) -> None:
    source = _open(["noon=scenes:5@noon", "dusk=scenes:5@dusk"])
    masks = example.label_masks(Thirds())
    found = example.compare_real(source, (masks, masks), 5, torch.device("cpu"))
    noon, dusk = (from_uint8(Scenes(32, 5, mood=mood).batch(range(5)).images) for mood in ("noon", "dusk"))
    assert torch.equal(found.pairs, example.overlap(masks(noon), masks(dusk)))
    assert torch.equal(found.others, example.overlap(masks(noon), masks(dusk.roll(-1, 0))))


def test_label_masks_are_those_of_the_concepts_and_leave_out_what_has_none(example: ModuleType) -> None:
    images = torch.tensor([-1.0, -0.5, 0.0, 1.0]).expand(1, 3, 1, 4)
    masks = example.label_masks(Thirds())(images)
    assert masks.int().tolist() == [[[[0, 1, 0, 0]], [[0, 0, 1, 0]], [[0, 0, 0, 1]]]]


def test_edge_masks_are_those_of_the_picture_as_it_would_be_saved(example: ModuleType) -> None:
    pixels = torch.randint(0, 256, (3, 3, 9, 9), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert torch.equal(example.edge_masks(from_uint8(pixels)), find_edges(pixels)[:, :1] >= 128)


def test_both_figures_of_a_generator(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.safetensors"
    generators.save(CoGAN(32, 4, 6, ["plain", "edges"]).eval(), path)
    data = ("plain=scenes:4", "edges=edges:scenes:4")
    out = tmp_path / "judged.json"
    example.main(example.Options(str(path), data, num_samples=10, out=out, device="cpu"))
    said = capsys.readouterr().out
    assert "samples: PairOverlap(IoU" in said and "real: PairOverlap(IoU 1.0000 (1.0000 to 1.0000)" in said
    assert '"num_pairs": 10' in out.read_text()


def test_domains_of_unequal_length_have_no_pairs(example: ModuleType) -> None:
    source = _open(["a=scenes:5", "b=scenes:6"])
    with pytest.raises(ValueError, match="both domains must have as many pictures; got 5 and 6"):
        example.compare_real(source, (example.light_masks,) * 2, 5, torch.device("cpu"))

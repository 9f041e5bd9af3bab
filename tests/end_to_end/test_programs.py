"""Networks saved as programs, from the file to what their units do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

import generators
import segmenters
from gandissect import Ablation, UnitSet, average_causal_effect, dissect, generate, latent

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")


class Colored(nn.Module):
    """Unit i paints a half of the image in the primary color i where a number of z is large."""

    def __init__(self) -> None:
        super().__init__()
        self.place, self.grow, self.paint = nn.Linear(6, 3 * 4 * 4), nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.place.weight.copy_(torch.eye(6).repeat_interleave(8, dim=0) * 4)
            self.place.bias.fill_(-1)
            self.paint.weight.copy_(torch.eye(3)[:, :, None, None])
            self.paint.bias.fill_(-1)

    def forward(self, z: Tensor) -> Tensor:
        x = torch.relu(self.place(z).view(-1, 3, 4, 4))
        return self.paint(self.grow(2 * x))  # a number, which a trace keeps as a constant


class Classes(Colored):
    """As above; class i has unit i on everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Embedding.from_pretrained(torch.eye(3))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        x = torch.relu(self.place(z).view(-1, 3, 4, 4))
        x = torch.maximum(x, self.classes(label)[:, :, None, None])
        return self.paint(self.grow(2 * x))


def _saved(kind: str, network: nn.Module, path: Path) -> Path:
    """Save it as the network that trained it would, with gradients."""
    given = (torch.randn(2, 6), torch.tensor([0, 2]))[: 2 if isinstance(network, Classes) else 1]
    if kind == "torch export":
        shapes = ({0: Dim("batch")},) * len(given)
        with path.open("wb") as file:
            torch.export.save(torch.export.export(network, given, dynamic_shapes=shapes), file)
    else:
        torch.jit.save(torch.jit.trace(network, given), path)
    return path


@pytest.mark.parametrize("kind", ["torchscript", "torch export"])
def test_a_file_is_dissected_edited_and_cut(kind: str, tmp_path: Path) -> None:
    network = Colored()
    path = _saved(kind, network, tmp_path / "mine.any")
    G = generators.wrap(path, z_dim=6)
    assert G.name == str(path)
    assert str(G.device) == "cpu"
    assert not any(each.requires_grad for each in G.parameters())
    assert not any(each.training for each in G.modules())
    z = G.sample_z(5, seed=1)
    assert torch.equal(G(z), network(z))
    assert {name: info.units for name, info in G.layers.items()} == {"grow": 3}
    assert torch.equal(generators.wrap(str(path), 6, ["grow"], name="mine")(z), G(z))
    _works(G)


def _works(G: generators.WrappedGenerator) -> None:
    """Each unit agrees with its color, takes it away when it is switched off, and nothing is left behind."""
    S, z = segmenters.load("palette"), G.sample_z(5, seed=1)
    image = G(z)
    assert torch.equal(G.tail(G.head(z, "grow"), "grow", z), image)
    D = dissect(G, S, layers=["grow"], num_samples=64, progress=False)
    colors = {concept.name: concept.color for concept in S.concepts}
    for unit, match in enumerate(D["grow"].matches):
        assert colors[match.concept][unit] == 255
        units = UnitSet("grow", (unit,))
        assert (generate(G, z, [Ablation(units)])[:, unit] == -1).all()
        assert average_causal_effect(G, S, units, match.concept, 32, 3, progress=False).ace != 0
    assert torch.equal(G(z), image)
    mixed = latent.swap_activations(G, z[:1], z[1:2], "grow")
    assert torch.equal(mixed, image[1:2])
    assert len(latent.truncated_z(G, 3, limit=1.0)) == 3


@pytest.mark.parametrize("kind", ["module", "torchscript", "torch export"])
def test_conditional_ones_are_given_their_class(kind: str, tmp_path: Path) -> None:
    network = Classes().eval()
    source = network if kind == "module" else _saved(kind, network, tmp_path / "mine")
    with pytest.raises(
        ValueError, match=r"takes z and label, so it seems to be conditional; pass its second argument with c="
    ):
        generators.wrap(source, z_dim=6)
    green = generators.wrap(source, z_dim=6, c=1)
    z = green.sample_z(5)
    assert torch.equal(green(z), network(z, torch.ones(5, dtype=torch.int64)))
    assert (green(z)[:, 1] >= 1).all()
    _works(green)


@pytest.mark.parametrize("kind", ["torchscript", "torch export"])
def test_a_damaged_file_is_named(kind: str, tmp_path: Path) -> None:
    data = _saved(kind, Colored(), tmp_path / "whole").read_bytes()
    for length in (0, 10, len(data) // 3, len(data) // 2, len(data) - 30):
        with pytest.raises(ValueError, match=r"cut (cannot be (read|loaded)|is not a program)") as caught:
            generators.wrap(_written(tmp_path / "cut", data[:length]), z_dim=6)
        assert len(str(caught.value)) < 700
    with pytest.raises(FileNotFoundError, match="no file"):
        generators.wrap(tmp_path / "absent", z_dim=6)
    with pytest.raises(ValueError, match=r"is not a program .* with generators.load\("):
        torch.save({"a": torch.zeros(1)}, tmp_path / "checkpoint")
        generators.wrap(tmp_path / "checkpoint", z_dim=6)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["torchscript", "torch export"])
def test_the_shell_does_not_run_it_and_says_what_does(kind: str, gandissect: Any, tmp_path: Path) -> None:
    path = _saved(kind, Colored(), tmp_path / "mine")
    line = f"if you trust it, run it in Python: generators.wrap({str(path)!r}, z_dim=...)"
    status, _, error = gandissect("import", path, "--out", tmp_path / "x.safetensors")
    assert (status, error.count("\n")) == (2, 1)
    assert line in error
    status, output, _ = gandissect("import", path, "--explain")
    assert status == 0
    assert output.splitlines()[0] == f"{path}: {kind}"
    assert line in output
    with pytest.raises(ValueError, match=re.escape(line)):
        generators.load(path)


def test_a_program_of_one_batch_size_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for count, refused in {1: 2, 2: 3}.items():
        torch.export.save(torch.export.export(Colored(), (torch.randn(count, 6),)), tmp_path / "mine.pt2")
        with pytest.raises(ValueError, match=rf"does not take batches of {refused} .*dynamic_shapes"):
            generators.wrap(tmp_path / "mine.pt2", z_dim=6)

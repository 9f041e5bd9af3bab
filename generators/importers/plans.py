"""From a plan, which says where each tensor of a generator comes from, to a layout that fits and builds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..architectures.base import LayeredGenerator
from .layouts import Facts, Fit, ImportOptions, Layout, Tensors

LARGEST = 1024
"""The largest number in a name that means something: the height of images."""
MAX_DEPTH = 8
"""How often a grid of 4 x 4 is doubled at most: to 1,024 x 1,024."""
WIDEST = 4_096
"""Height and width of images and layers at most: a small file can ask for far more than memory holds."""
SHOWN = 6
"""Names in an error at most."""

NUMBERS = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8}
    | {torch.int8, torch.int16, torch.int32, torch.int64}
)
"""What the tensors of a network may hold."""

DISCRIMINATORS = (
    r"(from_?rgb|fromRGBLayers|input\d+)\b",
    r"(decisionLayer|adv_layer|to_logits?)\b",
    r"(final_conv|final_linear|mbstd|minibatch_?std)\b",
    r"(block1\.c1|l[3-9]|linear1)\.(weight|weight_orig)$",
    r"b4\.(conv|fc|out)\.(weight|bias)$",
    r"convs\.0\.0\.",
)
"""Patterns that a tensor's name begins with, or after a dot, in discriminators and in no generator read here."""


@dataclass(frozen=True, slots=True)
class TensorSource:
    """Where a tensor comes from.

    Args:
        names: Tensors of the file.
        make: Makes the tensor of them, in float32 and in this order; of none, where the file says nothing.
    """

    names: tuple[str, ...]
    make: Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """What the names in a file come to.

    Args:
        architecture: The network to make.
        settings: Returns its settings, from shapes; called when no name is missing. It may raise ValueError.
        sources: Where each of its tensors comes from, by its name.
        ignored: Names of the file that are known and not needed.
        check: Raises ValueError if the values of tensors say that this network would be another.
        finish: Completes the network.
        assumed: Says what of the settings was guessed, see `Fit`; called when the network could be made.
    """

    architecture: type[LayeredGenerator]
    settings: Callable[[], Mapping[str, Any]]
    sources: Mapping[str, TensorSource]
    ignored: Iterable[str] = ()
    check: Callable[[], None] = lambda: None
    finish: Callable[[Any], None] = lambda _: None
    assumed: Callable[[], str] = lambda: ""
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        names = dict.fromkeys(name for source in self.sources.values() for name in source.names)
        object.__setattr__(self, "names", list(names))

    def find_missing(self, tensors: Tensors) -> list[str]:
        """Return the names that are wanted and not there."""
        return [name for name in self.names if name not in tensors]

    def find_unexpected(self, tensors: Tensors) -> list[str]:
        """Return the names that are there and not known."""
        known_names = {*self.names, *self.ignored}
        return [name for name in tensors if name not in known_names]


Planner = Callable[[Tensors, Facts, ImportOptions], ImportPlan]


def layout_of(name: str, planner: Planner, options: Iterable[str] = ()) -> Layout:
    """Return the layout that a planner describes.

    Args:
        name: What it is called.
        planner: Makes a plan of names and shapes alone; it raises nothing.
        options: The options that it takes.
    """
    allowed = sorted(options)

    def build(tensors: Tensors, facts: Facts, options: ImportOptions) -> LayeredGenerator:
        if wrong := sorted(set(options) - set(allowed)):
            raise ValueError(f"{name} takes {' and '.join(allowed) or 'no options'}; got {', '.join(wrong)}")
        return _build(name, tensors, planner(tensors, facts, options))

    return Layout(name, lambda tensors, facts: _fit(tensors, planner(tensors, facts, {})), build)


def copy_tensor(name: str, factor: float = 1.0) -> TensorSource:
    """Return the source of a tensor that is one of the file, perhaps times a number."""
    return TensorSource((name,), lambda x: x if factor == 1 else x * factor)


def fill_tensor(make: Callable[[], Tensor]) -> TensorSource:
    """Return the source of a tensor that the file says nothing of."""
    return TensorSource((), make)


def spread_gray(*names: str, axis: int = 0) -> TensorSource:
    """Return the source of what makes colors of units: of gray, in a file of gray images, it makes three times gray.

    Args:
        names: The tensor.
        axis: Where its colors are.
    """
    return TensorSource(names, lambda x: x.repeat_interleave(3, dim=axis) if x.shape[axis] == 1 else x)


def find_numbers(tensors: Tensors, pattern: str, most: int = LARGEST) -> list[int]:
    """Return the numbers, ascending, for which names match a pattern with one group.

    Args:
        tensors: The file's.
        pattern: A regular expression with one group.
        most: The largest number that means something; a larger one would ask for as many layers.
    """
    matches = (re.match(pattern, name) for name in tensors)
    numbers = {int(match[1]) for match in matches if match and len(match[1]) <= len(str(most))}
    return sorted(number for number in numbers if number <= most)


def shape_of(tensors: Tensors, name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of a tensor that is there.

    Raises:
        ValueError: If it has another number of axes, or no numbers.
    """
    shape = tuple(tensors[name].shape)
    if len(shape) != axes or 0 in shape:
        raise ValueError(f"{name} has {axes} axes in this layout; got the shape {list(shape)}")
    return shape


def list_names(names: Sequence[str]) -> str:
    """Return some names, and how many there are besides."""
    rest = len(names) - SHOWN
    return ", ".join(name[:100] for name in names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def is_discriminator(tensors: Tensors) -> bool:
    """Say whether names are those of a discriminator."""
    halving = "main.2.weight" in tensors and "main.1.weight" not in tensors  # DCGAN's: no norm after the first
    return halving or any(re.search(rf"(^|\.){pattern}", name) for name in tensors for pattern in DISCRIMINATORS)


def _fit(tensors: Tensors, plan: ImportPlan) -> Fit:
    missing, unexpected = plan.find_missing(tensors), plan.find_unexpected(tensors)
    if missing:
        return Fit({}, missing, unexpected)
    try:
        generator = _assemble(plan, tensors, drawn=False)
    except ValueError as error:
        return Fit({}, [], [*unexpected, f"({error})"])
    size = generator.settings.get("size")
    height, width = (size, size) if size else generator.image_size
    settings = {"architecture": generator.architecture, "height": height, "width": width, "z_dim": generator.z_dim}
    layers = sum(name.startswith("layer") for name, _ in generator.named_children())
    return Fit(settings | {"layers": layers}, [], unexpected, plan.assumed())


def _build(name: str, tensors: Tensors, plan: ImportPlan) -> LayeredGenerator:
    missing, unexpected = plan.find_missing(tensors), plan.find_unexpected(tensors)
    if missing and is_discriminator(tensors):
        raise ValueError(f"no generator of {name}: the names are a discriminator's, such as {next(iter(tensors))}")
    if missing or unexpected:
        parts = [f"{list_names(missing)} missing"] * bool(missing)
        parts += [f"{list_names(unexpected)} unexpected"] * bool(unexpected)
        raise ValueError(f"no generator of {name}: {'; '.join(parts)}")
    plan.check()
    generator = _assemble(plan, tensors).eval().requires_grad_(False)
    plan.finish(generator)
    return generator


def _check_numbers(plan: ImportPlan, tensors: Tensors) -> None:
    """Check that the tensors that are wanted hold plain numbers.

    Raises:
        ValueError: If one holds others, or any that are not finite.
    """
    for name in plan.names:
        if tensors[name].dtype not in NUMBERS or tensors[name].layout != torch.strided:
            raise ValueError(
                f"{name} holds no plain numbers but {tensors[name].dtype}, {tensors[name].layout}; save it in float32"
            )
        if not tensors[name].isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")


def _assemble(plan: ImportPlan, tensors: Tensors, drawn: bool = True) -> LayeredGenerator:
    """Return the network with its tensors.

    Args:
        plan: What it is.
        tensors: The file's.
        drawn: Whether to make those that the file says nothing of, such as large noise.

    Raises:
        ValueError: If they do not make one.
    """
    _check_numbers(plan, tensors)
    try:
        with torch.device("meta"):  # takes no memory, whatever shapes the file has
            generator = plan.architecture(**plan.settings())
    except (RuntimeError, TypeError, IndexError, ArithmeticError) as error:
        raise ValueError(f"the shapes do not make a network: {error}") from error
    _check_sides(generator)
    blank = generator.state_dict()
    names = [name for name in blank if drawn or plan.sources[name].names]
    state = blank | {name: _make_tensor(plan.sources[name], tensors, name, blank[name], generator) for name in names}
    generator.load_state_dict(state, assign=True)
    return generator


def _check_sides(generator: LayeredGenerator) -> None:
    """Check that images and layers are of a size that networks have.

    Raises:
        ValueError: If not.
    """
    size = generator.settings.get("size")
    sides = [(size, size)] if size else getattr(generator, "sides", [generator.image_size])
    if max(map(max, sides)) > WIDEST:
        raise ValueError(f"it would make layers or images of more than {WIDEST:,} pixels a side, which is not read")


def _make_tensor(
    source: TensorSource, tensors: Tensors, name: str, expected: Tensor, generator: LayeredGenerator
) -> Tensor:
    """Return what a source makes, of the shape that is wanted and with a memory of its own."""
    origin = ", ".join(f"{source_name} {list(tensors[source_name].shape)}" for source_name in source.names)
    try:
        value = source.make(*(_to_single(tensors[source_name]) for source_name in source.names))
    except (RuntimeError, IndexError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{origin} cannot be made {name} {list(expected.shape)}: {error}") from error
    if value.shape != expected.shape:
        raise ValueError(f"{origin}: in {_describe(generator)} {name} would be {list(expected.shape)}")
    if not value.isfinite().all():
        raise ValueError(f"{origin}: of these, {name} would hold numbers that are not finite")
    return value.to(expected.dtype).clone(memory_format=torch.contiguous_format)


def _to_single(x: Tensor) -> Tensor:
    return x.detach().float() if x.is_floating_point() else x.detach()


def _describe(generator: LayeredGenerator) -> str:
    return f"a {generator.architecture} with {', '.join(f'{key} {value}' for key, value in generator.settings.items())}"

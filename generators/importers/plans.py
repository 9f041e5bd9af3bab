"""Import plans, which map a file's tensors to a generator's, and the layouts that they define."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..architectures.base import LayeredGenerator
from ..architectures.translator import Translator
from .layouts import Facts, Fit, ImportOptions, Layout, Tensors

LARGEST = 1024
"""Largest meaningful number in a name: the height of images."""
MAX_DEPTH = 8
"""Maximum number of doublings of a 4 x 4 grid: to 1,024 x 1,024."""
WIDEST = 4_096
"""Maximum height and width of images and layers, since a small file can ask for more than the memory."""
SHOWN = 6
"""Maximum number of names in an error."""

NUMBERS = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool, torch.uint8}
    | {torch.int8, torch.int16, torch.int32, torch.int64}
)
"""Allowed dtypes of a network's tensors."""

DISCRIMINATORS = (
    r"(from_?rgb|fromRGBLayers|input\d+)\b",
    r"(decisionLayer|adv_layer|to_logits?)\b",
    r"(final_conv|final_linear|mbstd|minibatch_?std)\b",
    r"(block1\.c1|l[3-9]|linear1)\.(weight|weight_orig)$",
    r"b4\.(conv|fc|out)\.(weight|bias)$",
    r"convs\.0\.0\.",
)
"""Patterns at the start of names, or after a dot, that occur in discriminators but in no supported generator."""


@dataclass(frozen=True, slots=True)
class TensorSource:
    """Source of a generator's tensor.

    Args:
        names: Names of tensors in the file; empty if the file does not contain the tensor.
        make: Function that computes the tensor from those, in float32 and in this order.
    """

    names: tuple[str, ...]
    make: Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Plan for building a generator from a file's tensors.

    Args:
        architecture: Class of the generator.
        settings: Function that computes its settings from shapes; called if no name is missing. It may raise
            ValueError.
        sources: Source of each tensor of the generator, by name.
        ignored: Names in the file that are known but not needed.
        check: Function that raises ValueError if values in the file would require a different network.
        finish: Function that completes the generator.
        assumed: Function that describes guessed settings (see `Fit`); called if the generator could be built.
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
        """Return the required names that are missing."""
        return [name for name in self.names if name not in tensors]

    def find_unexpected(self, tensors: Tensors) -> list[str]:
        """Return the names that are not known."""
        known_names = {*self.names, *self.ignored}
        return [name for name in tensors if name not in known_names]


Planner = Callable[[Tensors, Facts, ImportOptions], ImportPlan]


def layout_of(name: str, planner: Planner, options: Iterable[str] = ()) -> Layout:
    """Return the layout that a planner defines.

    Args:
        name: Name of the layout.
        planner: Function that returns a plan, from names and shapes only; it must not raise.
        options: Names of the options that it accepts.
    """
    allowed = sorted(options)

    def build(tensors: Tensors, facts: Facts, options: ImportOptions) -> LayeredGenerator:
        if wrong := sorted(set(options) - set(allowed)):
            accepted = f"only {', '.join(allowed)}" if allowed else "no options"
            raise ValueError(f"{name} accepts {accepted}; got {', '.join(wrong)}")
        return _build(name, tensors, planner(tensors, facts, options))

    return Layout(name, lambda tensors, facts: _fit(tensors, planner(tensors, facts, {})), build)


def copy_tensor(name: str, factor: float = 1.0) -> TensorSource:
    """Return the source of a tensor that is copied from the file, times a factor."""
    return TensorSource((name,), lambda x: x if factor == 1 else x * factor)


def fill_tensor(make: Callable[[], Tensor]) -> TensorSource:
    """Return the source of a tensor that is not in the file."""
    return TensorSource((), make)


def spread_gray(*names: str, axis: int = 0) -> TensorSource:
    """Return the source of a tensor with a color axis, which is repeated if the file has gray images.

    Args:
        names: Name of the tensor in the file.
        axis: Color axis.
    """
    return TensorSource(names, lambda x: x.repeat_interleave(3, dim=axis) if x.shape[axis] == 1 else x)


def find_numbers(tensors: Tensors, pattern: str, most: int = LARGEST) -> list[int]:
    """Return the sorted numbers that a pattern captures in names.

    Args:
        tensors: Tensors of the file.
        pattern: Regular expression with one group.
        most: Largest meaningful number; larger ones are ignored, since they would require that many layers.
    """
    matches = (re.match(pattern, name) for name in tensors)
    numbers = {int(match[1]) for match in matches if match and len(match[1]) <= len(str(most))}
    return sorted(number for number in numbers if number <= most)


def shape_of(tensors: Tensors, name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of an existing tensor.

    Raises:
        ValueError: If it has another number of axes, or is empty.
    """
    shape = tuple(tensors[name].shape)
    if len(shape) != axes or 0 in shape:
        raise ValueError(f"{name} must have {axes} nonempty axes; got shape {list(shape)}")
    return shape


def list_names(names: Sequence[str]) -> str:
    """List names, shortened if there are many."""
    rest = len(names) - SHOWN
    return ", ".join(name[:100] for name in names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def is_discriminator(tensors: Tensors) -> bool:
    """Return whether names belong to a discriminator."""
    halving = "main.2.weight" in tensors and "main.1.weight" not in tensors  # DCGAN: the first has no norm
    return halving or any(re.search(rf"(^|\.){pattern}", name) for name in tensors for pattern in DISCRIMINATORS)


def _fit(tensors: Tensors, plan: ImportPlan) -> Fit:
    missing, unexpected = plan.find_missing(tensors), plan.find_unexpected(tensors)
    if missing:
        return Fit({}, missing, unexpected)
    try:
        generator = _assemble(plan, tensors, drawn=False)
    except ValueError as error:
        return Fit({}, [], unexpected, problem=str(error))
    size = generator.settings.get("size")
    height, width = (size, size) if size else generator.image_size
    settings = {"architecture": generator.architecture, "height": height, "width": width}
    settings |= {"z_dim": generator.noise_dim} | ({"classes": len(generator.classes)} if generator.classes else {})
    if isinstance(generator, Translator):
        settings["channels"] = generator.input_shape[0]
    layers = sum(name not in generator.beside for name, _ in generator.named_children()) - 1
    return Fit(settings | {"layers": layers}, [], unexpected, assumed=plan.assumed())


def _build(name: str, tensors: Tensors, plan: ImportPlan) -> LayeredGenerator:
    missing, unexpected = plan.find_missing(tensors), plan.find_unexpected(tensors)
    if missing and is_discriminator(tensors):
        raise ValueError(f"not a generator of {name}: names such as {next(iter(tensors))} belong to a discriminator")
    if missing or unexpected:
        parts = [f"missing {list_names(missing)}"] * bool(missing)
        parts += [f"unexpected {list_names(unexpected)}"] * bool(unexpected)
        raise ValueError(f"not a generator of {name}: {'; '.join(parts)}")
    plan.check()
    generator = _assemble(plan, tensors).eval().requires_grad_(False)
    plan.finish(generator)
    return generator


def _check_numbers(plan: ImportPlan, tensors: Tensors) -> None:
    """Check that the required tensors are dense, finite numbers.

    Raises:
        ValueError: If a tensor is sparse, quantized or not finite; the message names the first such tensor.
    """
    for name in plan.names:
        if tensors[name].dtype not in NUMBERS or tensors[name].layout != torch.strided:
            raise ValueError(
                f"{name} must contain plain numbers; got {tensors[name].dtype}, {tensors[name].layout}; "
                "save it in float32"
            )
        if not tensors[name].isfinite().all():
            raise ValueError(f"{name} contains NaN or infinity")


def _assemble(plan: ImportPlan, tensors: Tensors, drawn: bool = True) -> LayeredGenerator:
    """Build the generator with its tensors.

    Args:
        plan: Plan for building it.
        tensors: Tensors of the file.
        drawn: Whether to create tensors that the file does not contain, such as large noise.

    Raises:
        ValueError: If the tensors do not match the plan.
    """
    _check_numbers(plan, tensors)
    try:
        with torch.device("meta"):  # needs no memory, whatever the shapes in the file
            generator = plan.architecture(**plan.settings())
    except (RuntimeError, TypeError, IndexError, ArithmeticError) as error:
        raise ValueError(f"the shapes do not form a network: {error}") from error
    _check_sides(generator)
    blank = generator.state_dict()
    names = [name for name in blank if drawn or plan.sources[name].names]
    state = blank | {name: _make_tensor(plan.sources[name], tensors, name, blank[name], generator) for name in names}
    generator.load_state_dict(state, assign=True)
    return generator


def _check_sides(generator: LayeredGenerator) -> None:
    """Check that images and layers are not too large.

    Raises:
        ValueError: If a side exceeds the maximum.
    """
    size = generator.settings.get("size")
    sides = [(size, size)] if size else getattr(generator, "sides", [generator.image_size])
    if (widest := max(map(max, sides))) > WIDEST:
        raise ValueError(f"layers and images must have at most {WIDEST:,} pixels per side; got {widest:,}")


def _make_tensor(
    source: TensorSource, tensors: Tensors, name: str, expected: Tensor, generator: LayeredGenerator
) -> Tensor:
    """Return a new tensor from a source, and check its shape."""
    origin = ", ".join(f"{source_name} {list(tensors[source_name].shape)}" for source_name in source.names)
    try:
        value = source.make(*(_to_single(tensors[source_name]) for source_name in source.names))
    except (RuntimeError, IndexError, ValueError, ArithmeticError) as error:
        raise ValueError(f"{origin} cannot be converted to {name} {list(expected.shape)}: {error}") from error
    if value.shape != expected.shape:
        raise ValueError(f"{name} must be {list(expected.shape)} in {_describe(generator)}; got {origin}")
    if not value.isfinite().all():
        raise ValueError(f"{name} would contain NaN or infinity, computed from {origin}")
    return value.to(expected.dtype).clone(memory_format=torch.contiguous_format)


def _to_single(x: Tensor) -> Tensor:
    return x.detach().float() if x.is_floating_point() else x.detach()


def _describe(generator: LayeredGenerator) -> str:
    settings = (f"{key} {_shorten(value)}" for key, value in generator.settings.items())
    return f"a {generator.architecture} with {', '.join(settings)}"


def _shorten(value: Any) -> Any:
    """Return the number of entries of a long list, such as 1,000 classes, and any other value unchanged."""
    return f"({len(value)} in all)" if isinstance(value, list) and len(value) > 16 else value

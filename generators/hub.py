"""Generators by name or by file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gandissect.core.environment import resolve_device
from gandissect.core.lookup import lookup
from gandissect.core.types import check_type
from gandissect.storage.cards import CardIndex
from gandissect.storage.files import load_tensors, save_tensors

from .architectures.base import LayeredGenerator
from .architectures.dcgan import DCGAN
from .architectures.fastgan import FastGAN
from .architectures.forced import SUFFIX, VALUES
from .architectures.lightweight import LightweightGAN
from .architectures.planted import PlantedGenerator
from .architectures.progan import ProGAN
from .architectures.resize import ResizeConv
from .architectures.resnet import ResNet
from .architectures.stack import Stack
from .architectures.stylegan import StyleGAN
from .architectures.stylegan2 import StyleGAN2
from .architectures.stylegan2_bilinear import BilinearStyleGAN2
from .architectures.stylegan3 import StyleGAN3
from .importers import import_checkpoint
from .importers.files.checkpoint import is_own

FORMAT, VERSION = "gandissect-generator", 1
ARCHITECTURES: Mapping[str, type[LayeredGenerator]] = {
    cls.architecture: cls
    for cls in (
        BilinearStyleGAN2,
        DCGAN,
        FastGAN,
        LightweightGAN,
        PlantedGenerator,
        ProGAN,
        ResizeConv,
        ResNet,
        Stack,
        StyleGAN,
        StyleGAN2,
        StyleGAN3,
    )
}
LAST, BEST = "generator.safetensors", "best.safetensors"
"""What a training writes into its folder: the last snapshot and, if they are measured, the one of least distance."""

CARD_INDEX = CardIndex(Path(__file__).parent, "generator")
names = CARD_INDEX.names
"""Return the names of the bundled generators."""
card = CARD_INDEX.card
"""Return the card of a bundled network: what it is, how it was trained, and how good it is."""


def load(name: str | Path, device: str = "auto", network: str | None = None) -> LayeredGenerator:
    """Load a bundled generator by name, one from its file, or what a training has made from its folder.

    Args:
        name: A bundled name, the path of a file that `save` wrote or of a checkpoint that `import_checkpoint` knows, or
            the folder of a training, of which ``best.safetensors`` is taken if it is there, else
            ``generator.safetensors``.
        device: ``auto`` (CUDA, else MPS, else CPU), ``cpu``, ``cuda`` or ``mps``.
        network: Which network of a checkpoint of another project, see `import_checkpoint`.

    Returns:
        The generator in eval mode, float32, without gradients; its ``name`` is the bundled one, or the file's path.

    Raises:
        KeyError: If the name is unknown.
        FileNotFoundError: If there is no such file or folder, or a folder holds neither.
        ValueError: If the file is damaged or holds something else, or ``network`` is given and it is no checkpoint of
            another project.
    """
    check_type("name", name, (str, Path), f"give a file, a folder, or one of {', '.join(names())}")
    target = resolve_device(device)
    is_checkpoint = str(name) not in names() and Path(name).is_file() and not is_own(name)
    if is_checkpoint:
        generator = import_checkpoint(name, network=network)
    elif str(name) in names():
        generator = read(card(str(name)).verified_path())
        generator.name = str(name)
    else:
        path = CARD_INDEX.path(name, (BEST, LAST))
        generator = read(path)
        generator.name = str(path)
    if network is not None and not is_checkpoint:
        raise ValueError(f"network must be None for {str(name)!r}, which holds one network only; got {network!r}")
    return generator.to(target)


def save(
    generator: LayeredGenerator,
    path: Path | str,
    facts: Mapping[str, Any] | None = None,
    *,
    half: bool = True,
    overwrite: bool = False,
) -> None:
    """Write a generator as safetensors in half precision; what units are forced to for good stays as it is.

    Args:
        generator: Any architecture of this package.
        path: The file.
        facts: JSON values to keep with it, e.g. how it was trained.
        half: False keeps every number as it is, in twice the bytes.
        overwrite: Replace another file of that name.

    Raises:
        FileExistsError: If there is another file of that name.
        TypeError: If it is another generator, such as a wrapped module.
    """
    if not isinstance(generator, LayeredGenerator):
        raise TypeError(
            f"a generator of this package can be saved; got a {type(generator).__name__}: save its module instead"
        )
    tensors = {
        key: value.half() if half and value.is_floating_point() and not key.endswith(VALUES) else value
        for key, value in generator.state_dict().items()
    }
    header = {"format": FORMAT, "version": VERSION, "architecture": generator.architecture}
    header |= {"settings": generator.settings, "facts": dict(facts or {})}
    save_tensors(path, tensors, header, overwrite=overwrite)


def read(path: Path | str) -> LayeredGenerator:
    """Read what `save` wrote, onto the CPU.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or holds something else.
    """
    tensors, header = load_tensors(path, FORMAT, VERSION)
    try:
        with torch.device("meta"):  # takes no memory, however large the settings, and draws no random numbers
            generator = lookup(ARCHITECTURES, header["architecture"], "architecture")(**header["settings"])
            forced_units = {name.removesuffix(SUFFIX): mask for name, mask in tensors.items() if name.endswith(SUFFIX)}
            for layer, mask in forced_units.items():
                generator.add_forced_units(layer, mask.numel())
        generator.load_state_dict(_convert_tensors(tensors, generator), assign=True)
        if any(generator.layers[layer].units != mask.numel() for layer, mask in forced_units.items()):
            raise ValueError("a layer has not as many units as are forced or not")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} does not describe a generator of this version: {error}") from error
    return generator.eval().requires_grad_(False)


def _convert_tensors(tensors: Mapping[str, Tensor], generator: LayeredGenerator) -> dict[str, Tensor]:
    """Return a file's tensors in full precision.

    Raises:
        ValueError: If one is of another kind than the generator's, or not finite.
    """
    converted, own = {}, generator.state_dict()
    for name, value in tensors.items():
        expected = own.get(name)
        if expected is not None and value.is_floating_point() != expected.is_floating_point():
            raise ValueError(f"{name!r} holds {value.dtype} where {expected.dtype} is wanted")
        converted[name] = value if expected is None else value.to(expected.dtype)
        if not converted[name].isfinite().all():
            raise ValueError(f"{name!r} holds numbers that are not finite")
    return converted

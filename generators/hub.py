"""Load and save generators, by name or by file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gandissect.core.environment import resolve_device
from gandissect.core.lookup import lookup
from gandissect.core.types import check_type
from gandissect.storage.cards import CardIndex
from gandissect.storage.files import load_tensors, save_tensors

from .architectures.base import LayeredGenerator
from .architectures.biggan import BigGAN
from .architectures.cgan import ConditionalDCGAN
from .architectures.cogan import CoGAN
from .architectures.dcgan import DCGAN
from .architectures.decoder import Decoder
from .architectures.encoder import Encoder
from .architectures.fastgan import FastGAN
from .architectures.forced import SUFFIX, VALUES
from .architectures.lightweight import LightweightGAN
from .architectures.mlp import MLP
from .architectures.planted import PlantedGenerator
from .architectures.progan import ProGAN
from .architectures.resize import ResizeConv
from .architectures.resnet import ResNet
from .architectures.sagan import SAGAN
from .architectures.stack import Stack
from .architectures.stackgan import StackGAN
from .architectures.stargan import StarGAN
from .architectures.stylegan import StyleGAN
from .architectures.stylegan2 import StyleGAN2
from .architectures.stylegan2_bilinear import BilinearStyleGAN2
from .architectures.stylegan3 import StyleGAN3
from .architectures.translator_resnet import ResNetTranslator
from .architectures.translator_unet import UNetTranslator
from .architectures.unit import UNIT
from .architectures.virtual_norm import VirtualNormDCGAN, VirtualNormMLP
from .importers import import_checkpoint
from .importers.files.checkpoint import is_own

FORMAT, VERSION = "gandissect-generator", 1
ARCHITECTURES: Mapping[str, type[LayeredGenerator]] = {
    cls.architecture: cls
    for cls in (
        BigGAN,
        BilinearStyleGAN2,
        CoGAN,
        ConditionalDCGAN,
        DCGAN,
        Decoder,
        FastGAN,
        LightweightGAN,
        MLP,
        PlantedGenerator,
        ProGAN,
        ResizeConv,
        ResNet,
        ResNetTranslator,
        SAGAN,
        Stack,
        StackGAN,
        StarGAN,
        StyleGAN,
        StyleGAN2,
        StyleGAN3,
        UNIT,
        UNetTranslator,
        VirtualNormDCGAN,
        VirtualNormMLP,
    )
}
ENCODER = "encoder."
"""Prefix of an encoder's tensors in the file of its generator."""
LAST, BEST = "generator.safetensors", "best.safetensors"
"""Snapshots in a training folder: the last one and, if snapshots are measured, the one with the smallest distance."""

CARD_INDEX = CardIndex(Path(__file__).parent, "generator")
names = CARD_INDEX.names
"""Return the names of the bundled generators."""
card = CARD_INDEX.card
"""Return the card of a bundled generator: its architecture, training and quality."""


def load(name: str | Path, device: str = "auto", network: str | None = None) -> LayeredGenerator:
    """Load a bundled generator by name, or a generator from a file or a training folder.

    Args:
        name: A bundled name, the path of a file written by `save` or of a checkpoint that `import_checkpoint`
            recognizes, or a training folder, from which ``best.safetensors`` is loaded if it exists, else
            ``generator.safetensors``.
        device: ``auto`` (CUDA, else MPS, else CPU), ``cpu``, ``cuda`` or ``mps``.
        network: Name of the network in a third-party checkpoint; see `import_checkpoint`.

    Returns:
        The generator in eval mode, in float32, without gradients; its ``name`` is the bundled name or the file's path.

    Raises:
        KeyError: If the name is unknown.
        FileNotFoundError: If there is no such file or folder, or the folder contains neither snapshot.
        ValueError: If the file is damaged or is not a generator, or ``network`` is given for anything but a
            third-party checkpoint.

    Examples:
        >>> import generators
        >>> G = generators.load("dcgan-scenes64", device="cpu")
        >>> list(G.layers)
        ['layer1', 'layer2', 'layer3', 'layer4']
        >>> G(G.sample_z(2, seed=1)).shape
        torch.Size([2, 3, 64, 64])
    """
    check_type("name", name, (str, Path), f"pass a file, a folder, or one of {', '.join(names())}")
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
        raise ValueError(f"network must be None for {str(name)!r}, which contains one network; got {network!r}")
    return generator.to(target)


def save(
    generator: LayeredGenerator,
    path: Path | str,
    facts: Mapping[str, Any] | None = None,
    *,
    encoder: Encoder | None = None,
    half: bool = True,
    overwrite: bool = False,
) -> None:
    """Write a generator as safetensors, in half precision except for the values of forced units.

    Args:
        generator: Generator of any architecture in this package.
        path: File to write.
        facts: JSON values to store with the generator, e.g. how it was trained.
        encoder: Encoder to store with the generator, for `load_encoder`.
        half: Store float16; if False, keep the full precision, which doubles the file size.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file already exists.
        TypeError: If the generator is not of this package, such as a wrapped module.
    """
    if not isinstance(generator, LayeredGenerator):
        raise TypeError(
            f"generator must be one of this package's architectures; got a {type(generator).__name__}; "
            "save its module instead"
        )
    header = {"format": FORMAT, "version": VERSION, "architecture": generator.architecture}
    header |= {"settings": generator.settings, "facts": dict(facts or {})}
    weights = generator.state_dict()
    if encoder is not None:
        header["encoder"] = encoder.settings
        weights |= {ENCODER + key: value for key, value in encoder.state_dict().items()}
    tensors = {
        key: value.half() if half and value.is_floating_point() and not key.endswith(VALUES) else value
        for key, value in weights.items()
    }
    save_tensors(path, tensors, header, overwrite=overwrite)


def read(path: Path | str) -> LayeredGenerator:
    """Read a file written by `save`, onto the CPU.

    Args:
        path: File to read.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged or is not a generator.
    """
    tensors, header = load_tensors(path, FORMAT, VERSION)
    if "encoder" in header:
        tensors = {key: value for key, value in tensors.items() if not key.startswith(ENCODER)}
    try:
        with torch.device("meta"):  # needs no memory, however large the settings, and draws no random numbers
            generator = lookup(ARCHITECTURES, header["architecture"], "architecture")(**header["settings"])
            forced_units = {name.removesuffix(SUFFIX): mask for name, mask in tensors.items() if name.endswith(SUFFIX)}
            for layer, mask in forced_units.items():
                generator.add_forced_units(layer, mask.numel())
        generator.load_state_dict(_convert_tensors(tensors, generator), assign=True)
        if any(generator.layers[layer].units != mask.numel() for layer, mask in forced_units.items()):
            raise ValueError("the mask of forced units must have one entry per unit of its layer")
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} does not describe a generator of this version: {error}") from error
    return generator.eval().requires_grad_(False)


def load_encoder(name: str | Path, device: str = "auto") -> Encoder:
    """Load the encoder of a generator that was trained with one, such as a variational autoencoder's.

    Args:
        name: A bundled name, the path of a file written by `save`, or a training folder, as in `load`.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns:
        The encoder in eval mode, in float32, without gradients.

    Raises:
        KeyError: If the name is unknown.
        FileNotFoundError: If there is no such file or folder, or the folder contains no snapshot.
        ValueError: If the file is damaged, or its generator was trained without an encoder.
    """
    target, path = resolve_device(device), _find_file(name)
    tensors, header = load_tensors(path, FORMAT, VERSION)
    if "encoder" not in header:
        raise ValueError(
            f"{name} was trained without an encoder; use a generator with one (architecture vae, vaegan or agecgan)"
        )
    tensors = {key.removeprefix(ENCODER): value for key, value in tensors.items() if key.startswith(ENCODER)}
    try:
        with torch.device("meta"):
            encoder = Encoder(**header["encoder"])
        encoder.load_state_dict(_convert_tensors(tensors, encoder), assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} does not describe an encoder of this version: {error}") from error
    return encoder.eval().requires_grad_(False).to(target)


def has_encoder(name: str | Path) -> bool:
    """Return whether `load_encoder` finds an encoder; False for checkpoints of other projects.

    Args:
        name: A bundled name, the path of a file, or a training folder, as in `load`.

    Raises:
        KeyError: If the name is unknown.
        FileNotFoundError: If there is no such file or folder, or the folder contains no snapshot.
        ValueError: If the file is damaged.
    """
    path = _find_file(name)
    return is_own(path) and "encoder" in load_tensors(path, FORMAT, VERSION)[1]


def _find_file(name: str | Path) -> Path:
    return card(str(name)).verified_path() if str(name) in names() else CARD_INDEX.path(name, (BEST, LAST))


def _convert_tensors(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return a file's tensors in the network's dtypes.

    Raises:
        ValueError: If a tensor mixes up floats and integers, or is not finite.
    """
    converted, own = {}, network.state_dict()
    for name, value in tensors.items():
        expected = own.get(name)
        if expected is not None and value.is_floating_point() != expected.is_floating_point():
            raise ValueError(f"{name!r} must be {expected.dtype}; got {value.dtype}")
        converted[name] = value if expected is None else value.to(expected.dtype)
        if not converted[name].isfinite().all():
            raise ValueError(f"{name!r} contains NaN or infinity")
    return converted

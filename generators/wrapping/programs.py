"""Files that are programs: networks as torch.jit.save and torch.export.save write them.

Loading one runs it, or what it asks for, so it is done for `wrap` only, which a caller gives the file to, and never
where a checkpoint is read.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch
from torch import nn

from gandissect.storage.files import check_file

from ..importers.files.checkpoint import program_kind
from ..importers.files.values import make_printable

DAMAGES = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    EOFError,
    OSError,
    AssertionError,
    MemoryError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
"""What torch raises where a program cannot be loaded."""


def load_program(path: Path | str) -> nn.Module:
    """Load a network that torch has saved as a program, on the CPU, in eval mode, without gradients.

    This runs what the file holds: TorchScript does whatever torch's operators do, which read and write files, and
    `torch.export.load` unpickles without restriction, which runs anything.

    Args:
        path: A file of `torch.jit.save` or `torch.export.save`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is neither, or damaged.
    """
    check_file(path)
    kind = program_kind(path)
    if kind is None:
        raise ValueError(
            f"{path} is no program, as torch.jit.save and torch.export.save write them; "
            f"a checkpoint is read with generators.load({str(path)!r})"
        )
    try:
        network = _load_script(path) if kind == "torchscript" else _load_export(path)
    except DAMAGES as error:
        reason = make_printable(str(error), 300)
        raise ValueError(f"{path} cannot be loaded as {kind}: {type(error).__name__}: {reason}") from error
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


def _load_script(path: Path | str) -> nn.Module:
    script: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]  # torch gives no types here
    return script


def _load_export(path: Path | str) -> nn.Module:
    with Path(path).open("rb") as file:  # of a path torch wants that it ends in .pt2
        network: nn.Module = torch.export.unflatten(torch.export.load(file))
    return network

"""Files that are programs: networks written by torch.jit.save and torch.export.save.

Loading a program can run arbitrary code, so only `wrap` loads one, at the caller's request; reading a checkpoint never
does.
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
"""Errors that torch raises when a program cannot be loaded."""


def load_program(path: Path | str) -> nn.Module:
    """Load a network that torch saved as a program, onto the CPU, in eval mode, without gradients.

    This runs code from the file: TorchScript can call any of torch's operators, including those that read and write
    files, and `torch.export.load` unpickles without restriction, which can run anything.

    Args:
        path: File written by `torch.jit.save` or `torch.export.save`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not a program, or is damaged.
    """
    check_file(path)
    kind = program_kind(path)
    if kind is None:
        raise ValueError(
            f"{path} is not a program of torch.jit.save or torch.export.save; "
            f"read a checkpoint with generators.load({str(path)!r})"
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
    with Path(path).open("rb") as file:  # torch accepts a path only if it ends in .pt2
        network: nn.Module = torch.export.unflatten(torch.export.load(file))
    return network

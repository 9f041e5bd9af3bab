"""Model cards: what a bundled network is, where its weights are, how it was trained and how good it is."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.display import Displayed
from ..core.lookup import lookup, unknown_name_message
from .files import sha256_file


@dataclass(frozen=True, slots=True, repr=False)
class Card(Displayed):
    """The model card of a bundled network.

    Args:
        name: Name to load the network by, e.g. ``dcgan-scenes64``.
        path: Path of the safetensors file.
        sha256: Hash that the file must have.
        family: Family of the network, such as DCGAN.
        summary: Summary in one sentence.
        dataset: Training data.
        command: Command that reproduces the training.
        seed: Seed of the training.
        images_seen: Number of training images, counting repetitions.
        hardware: Hardware of the training.
        duration: Duration of the training.
        license: License of the weights.
        quality: Quality measured on held-out pictures, with n.
    """

    name: str
    path: Path
    sha256: str
    family: str
    summary: str
    dataset: str
    command: str
    seed: int
    images_seen: int
    hardware: str
    duration: str
    license: str
    quality: Mapping[str, Any] = field(default_factory=dict)

    def verified_path(self) -> Path:
        """Return the path of the weights.

        Raises:
            FileNotFoundError: If the file is missing.
            ValueError: If the file's hash differs from the card's.
        """
        sha256 = sha256_file(self.path)
        if sha256 != self.sha256:
            raise ValueError(
                f"SHA-256 of {self.path} must be {self.sha256}, as in its card; got {sha256}; reinstall the package, "
                "or fix the card"
            )
        return self.path

    def _summarize(self) -> str:
        return f"{self.name}: {self.summary}"


class CardIndex:
    """The bundled networks of a package; the cards are read on first use.

    Args:
        folder: Folder with ``cards.toml`` and ``weights/``.
        kind: Kind of network for messages, e.g. ``"generator"``.
    """

    def __init__(self, folder: Path | str, kind: str) -> None:
        self._folder, self._kind = Path(folder), kind

    def names(self) -> tuple[str, ...]:
        """Return the names of the bundled networks."""
        return tuple(self._cards)

    def card(self, name: str) -> Card:
        """Return the card of a bundled network, which covers its training, quality and license.

        Raises:
            KeyError: If no bundled network has that name; the message suggests the nearest one.
        """
        return lookup(self._cards, name, f"bundled {self._kind}")

    def path(self, name: str | Path, file_names: Sequence[str], others: Sequence[str] = ()) -> Path:
        """Return the weights file for a path to a file or to a training folder.

        Args:
            name: A ``.safetensors`` file, or a training folder.
            file_names: Names of weights files that a run writes to its folder; the first that exists is returned.
            others: Additional names to suggest in messages, apart from the bundled ones.

        Raises:
            KeyError: If ``name`` looks like a bundled name but is not one; the message suggests the nearest one.
            FileNotFoundError: If there is no such file or folder, or the folder has no weights file.
            ValueError: If the file is not a ``.safetensors`` file.
        """
        path, kind = Path(name), self._kind
        if path.is_dir():
            files = [path / file_name for file_name in file_names if (path / file_name).is_file()]
            if not files:
                missing = " or ".join(file_names)
                raise FileNotFoundError(f"{path} is not the folder of a {kind}'s training: it has no {missing}")
            return files[0]
        if isinstance(name, Path) or path.suffix == ".safetensors":
            return path
        remedy = f"pass a bundled name, the path of a .safetensors file or the folder of a {kind}'s training"
        if path.is_file():
            raise ValueError(f"{path} is not a {kind}; {remedy}")
        if len(path.parts) > 1 or path.suffix:
            raise FileNotFoundError(f"no file or folder {path}; {remedy}")
        raise KeyError(f"{unknown_name_message(kind, str(name), (*self.names(), *others))}; {remedy}")

    @cached_property
    def _cards(self) -> dict[str, Card]:
        return read_cards(self._folder)


def read_cards(folder: Path | str) -> dict[str, Card]:
    """Read the ``cards.toml`` of a package, whose weights are in ``weights/`` in the same folder.

    Args:
        folder: Folder with ``cards.toml``.

    Raises:
        FileNotFoundError: If there is no ``cards.toml``.
        ValueError: If a card lacks an entry or has an unknown one.
    """
    path = Path(folder) / "cards.toml"
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    required = {entry.name for entry in fields(Card)} - {"name", "path"} | {"file"}
    cards = {}
    for name, table in tables.items():
        if set(table) != required:
            missing, unknown = sorted(required - set(table)), sorted(set(table) - required)
            raise ValueError(f"{path}: card {name!r} has missing entries {missing} and unknown entries {unknown}")
        entries = {key: value for key, value in table.items() if key != "file"}
        cards[name] = Card(name=name, path=Path(folder) / "weights" / table["file"], **entries)
    return cards

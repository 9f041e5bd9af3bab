"""Model cards: what a bundled network is, where its weights lie, how it was made and how good it is."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.lookup import lookup, unknown_name_message
from .files import sha256_file


@dataclass(frozen=True, slots=True)
class Card:
    """The card of one bundled network.

    Args:
        name: How it is asked for, e.g. ``dcgan-scenes64``.
        path: Its safetensors file.
        sha256: The hash that the file must have.
        summary: One sentence.
        dataset: What it was trained on.
        command: The command that trains it again.
        seed: The seed of that training.
        images_seen: Training images, repetitions counted.
        hardware: What it was trained on.
        duration: How long it took.
        license: Under which terms the weights may be used.
        quality: Figures measured on held-out pictures, with n.
    """

    name: str
    path: Path
    sha256: str
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
            ValueError: If it is not the file that the card describes.
        """
        sha256 = sha256_file(self.path)
        if sha256 != self.sha256:
            raise ValueError(
                f"{self.path} has SHA-256 {sha256}; its card says {self.sha256}: reinstall, or mend the card"
            )
        return self.path


class CardIndex:
    """The bundled networks of a package; its cards are read when first asked for.

    Args:
        folder: The folder that holds ``cards.toml`` and ``weights/``.
        kind: What to call one of them, e.g. ``"generator"``.
    """

    def __init__(self, folder: Path | str, kind: str) -> None:
        self._folder, self._kind = Path(folder), kind

    def names(self) -> tuple[str, ...]:
        """Return the names of the bundled networks."""
        return tuple(self._cards)

    def card(self, name: str) -> Card:
        """Return a card: how the network was trained, how good it is, under which terms it may be used.

        Raises:
            KeyError: If none has that name, with the nearest match.
        """
        return lookup(self._cards, name, f"bundled {self._kind}")

    def path(self, name: str | Path, file_names: Sequence[str], others: Sequence[str] = ()) -> Path:
        """Return the file that is meant by what is no bundled name: itself, or what a training has written.

        Args:
            name: A ``.safetensors`` file, or the folder of a training.
            file_names: What a training writes into its folder; the first that is there is taken.
            others: Names, besides the bundled ones, that might have been meant.

        Raises:
            KeyError: If it looks like a name, with the nearest match.
            FileNotFoundError: If there is no such file or folder, or nothing in the folder.
            ValueError: If it is a file of another kind.
        """
        path, kind = Path(name), self._kind
        if path.is_dir():
            files = [path / file_name for file_name in file_names if (path / file_name).is_file()]
            if not files:
                missing = " or ".join(file_names)
                raise FileNotFoundError(f"{path} is no folder of a {kind}'s training: it holds no {missing}")
            return files[0]
        if isinstance(name, Path) or path.suffix == ".safetensors":
            return path
        remedy = f"give a bundled name, the path of a .safetensors file or the folder of a {kind}'s training"
        if path.is_file():
            raise ValueError(f"{path} holds no {kind}; {remedy}")
        if len(path.parts) > 1 or path.suffix:
            raise FileNotFoundError(f"no file or folder {path}; {remedy}")
        raise KeyError(f"{unknown_name_message(kind, str(name), (*self.names(), *others))}; {remedy}")

    @cached_property
    def _cards(self) -> dict[str, Card]:
        return read_cards(self._folder)


def read_cards(folder: Path | str) -> dict[str, Card]:
    """Read ``cards.toml`` of a package; its weights lie in ``weights/`` beside it.

    Args:
        folder: The folder that holds ``cards.toml``.

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
            missing, odd = sorted(required - set(table)), sorted(set(table) - required)
            raise ValueError(f"{path}: card {name!r} lacks {missing} and has the unknown {odd}")
        entries = {key: value for key, value in table.items() if key != "file"}
        cards[name] = Card(name=name, path=Path(folder) / "weights" / table["file"], **entries)
    return cards

"""``gandissect import``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from gandissect.storage import check_new_file, read_json
from generators import Translator, hub
from generators.importers import ImportResult, explain, import_network
from generators.importers.files.values import make_printable


@dataclass(frozen=True)
class Options:
    """Import a third-party checkpoint as a generator, without running its code.

    The format is recognized from the content, not the file name; docs/guides/import.md lists the supported formats.

    Args:
        file: Checkpoint to import.
        out: The .safetensors file to write, which every other command accepts; weights keep their precision.
        explain: Report what the file holds and what is recognized, assumed or missing, without writing anything.
        arch: JSON file with settings that the checkpoint lacks, such as {"strides": [1, 2, 2], "paddings": [0, 1, 1]}.
        network: Name of the network to import, as --explain lists it, such as g_ema; by default the averaged
            generator.
        size: Height and width of the images, if the checkpoint lacks them; otherwise the size that it must have.
        overwrite: Replace an existing file.
        json: Print the results as JSON.
    """

    file: tyro.conf.Positional[Path]
    out: Path | None = None
    explain: bool = False
    arch: Path | None = None
    network: str | None = None
    size: int | None = None
    overwrite: bool = False
    json: bool = False

    def run(self) -> None:
        """Write the generator and print its description, or explain the file."""
        if self.explain:
            return self._explain()
        if self.out is None or self.out.suffix != ".safetensors":
            raise ValueError(f"--out must end in .safetensors unless --explain is given; got {self.out}")
        if self.out.exists() and self.file.exists() and self.out.samefile(self.file):
            raise ValueError(f"--out must not be the checkpoint itself; got {self.out}")
        check_new_file(self.out, overwrite=self.overwrite)
        imported = import_network(self.file, self._options(), self.network)
        facts = {"imported": {"file": self.file.name, "kind": imported.kind, "layout": imported.layout}}
        hub.save(imported.generator, self.out, facts, half=False, overwrite=self.overwrite)
        record = _record(imported) | {"out": str(self.out)}
        print(json.dumps(record) if self.json else "\n".join(_lines(record)))
        return None

    def _explain(self) -> None:
        if self.arch is not None or self.size is not None:
            raise ValueError("--explain reports the file alone; omit --arch and --size, which only --out uses")
        explanation = explain(self.file, self.network)
        print(json.dumps(explanation.record(), indent=1) if self.json else "\n".join(explanation.lines()))

    def _options(self) -> dict[str, Any]:
        options = {} if self.arch is None else read_json(self.arch)
        if not isinstance(options, dict):
            raise ValueError(f'{self.arch} must hold a JSON object such as {{"strides": [1, 2, 2]}}')
        return options | ({} if self.size is None else {"size": self.size})


def _record(imported: ImportResult) -> dict[str, Any]:
    generator = imported.generator
    height, width = generator.image_size
    layers = {name: [info.units, info.height, info.width] for name, info in generator.layers.items()}
    return {
        "layout": imported.layout,
        "network": imported.where,
        "kind": imported.kind,
        "architecture": generator.architecture,
        "height": height,
        "width": width,
        "z_dim": generator.z_dim,
        "channels": generator.input_shape[0] if isinstance(generator, Translator) else None,
        "num_classes": len(generator.classes),
        "layers": layers,
        "assumed": imported.assumed,
    }


def _lines(record: dict[str, Any]) -> list[str]:
    network = make_printable(f", {record['network']}" if record["network"] else "")
    num_classes = record["num_classes"]
    noise = f"z of {record['z_dim'] - num_classes}" + (f", {num_classes} classes" if num_classes else "")
    if record["channels"] is not None:
        noise = f"pictures of {record['channels']} channels"
    sizes = f"{record['width']} x {record['height']} px, {noise}"
    layers = [f"  {name}: {units} units of {h} x {w}" for name, (units, h, w) in record["layers"].items()]
    return [
        f"{record['layout']}{network} ({record['kind']})",
        f"{record['architecture']}, {sizes}, {len(layers)} layer{'s'[: len(layers) != 1]}",
        *layers,
        *[f"{record['assumed']}; override with --arch FILE.json"] * bool(record["assumed"]),
        record["out"],
    ]

"""``gandissect import``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from gandissect.storage import check_new_file, read_json
from generators import hub
from generators.importers import ImportResult, explain, import_network
from generators.importers.files.values import make_printable


@dataclass(frozen=True)
class Options:
    """Make a generator of a checkpoint that others have trained; no code in the file is run.

    docs/guides/import.md lists what is recognized, from the content and not from the name.

    Args:
        file: The checkpoint.
        out: The .safetensors file to write, which every other command takes; the numbers keep their precision.
        explain: Say what is in the file, what is recognized, assumed or missing, and write nothing.
        arch: JSON with what the file does not say, such as {"strides": [1, 2, 2], "paddings": [0, 1, 1]}.
        network: Which network of the file, as --explain names them, such as g_ema; by default the averaged generator.
        size: Height and width of the images, where the file does not say; where it does, what it has to be.
        overwrite: Replace the file, if it exists.
        json: Print what was found as JSON.
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
        """Write the generator and print what it is, or print what is in the file."""
        if self.explain:
            return self._explain()
        if self.out is None or self.out.suffix != ".safetensors":
            raise ValueError(f"say where to write it with --out FILE.safetensors, or --explain; got {self.out}")
        if self.out.exists() and self.file.exists() and self.out.samefile(self.file):
            raise ValueError(f"{self.out} is the checkpoint itself; name another file with --out")
        check_new_file(self.out, overwrite=self.overwrite)
        imported = import_network(self.file, self._options(), self.network)
        facts = {"imported": {"file": self.file.name, "kind": imported.kind, "layout": imported.layout}}
        hub.save(imported.generator, self.out, facts, half=False, overwrite=self.overwrite)
        record = _record(imported) | {"out": str(self.out)}
        print(json.dumps(record) if self.json else "\n".join(_lines(record)))
        return None

    def _explain(self) -> None:
        if self.arch is not None or self.size is not None:
            raise ValueError("--explain says what the file itself says; leave out --arch and --size, which --out takes")
        explanation = explain(self.file, self.network)
        print(json.dumps(explanation.record(), indent=1) if self.json else "\n".join(explanation.lines()))

    def _options(self) -> dict[str, Any]:
        options = {} if self.arch is None else read_json(self.arch)
        if not isinstance(options, dict):
            raise ValueError(f'{self.arch} holds no JSON object such as {{"strides": [1, 2, 2]}}')
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
        "layers": layers,
        "assumed": imported.assumed,
    }


def _lines(record: dict[str, Any]) -> list[str]:
    of = make_printable(f", {record['network']}" if record["network"] else "")
    sizes = f"{record['width']} x {record['height']} px, z of {record['z_dim']}"
    layers = [f"  {name}: {units} units of {h} x {w}" for name, (units, h, w) in record["layers"].items()]
    return [
        f"{record['layout']}{of} ({record['kind']})",
        f"{record['architecture']}, {sizes}, {len(layers)} layers",
        *layers,
        *[f"{record['assumed']}; --arch FILE.json says others"] * bool(record["assumed"]),
        record["out"],
    ]

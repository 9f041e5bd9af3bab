"""The house of the design: imports point one way, hooks live in one file, nobody prints outside apps."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOUNDATION = {"types", "protocols", "names", "sampling", "files", "devices", "runs", "cards", "hooks"}
RANKS = {
    **dict.fromkeys(["types", "names", "files", "sampling", "devices"], 0),
    **dict.fromkeys(["protocols", "cards", "runs", "store"], 1),
    **dict.fromkeys(
        [
            "hooks",
            "stats",
            "matching",
            "quantiles",
            "chance",
            "counts",
            "curves",
            "top_images",
            "results",
            "share_results",
            "causal_results",
            "unit_rankings",
            "neighbours",
            "kernels",
            "spool",
        ],
        2,
    ),
    **dict.fromkeys(
        [
            "interventions",
            "batches",
            "thresholds",
            "compiled",
            "plan",
            "counting",
            "tally",
            "conclusion",
            "fidelity",
            "comparison",
        ],
        3,
    ),
    "dissection": 4,
    "shares": 4,
    "unit_values": 4,
    "viewing": 4,
    "recipe": 4,
    "causal": 5,
    "artifact_results": 4,
    "repair_results": 4,
    "artifacts": 5,
    "repairs": 5,
    "causal_optimisation": 6,
    "causal_units": 6,
    "repair_measures": 6,
    "latent": 6,
    "report": 7,
    "__init__": 8,
}


def _modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def _imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    """The absolute names of the modules that a file imports (relative ones resolved)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            from_package = not node.module or stem in {"gandissect", "generators", "segmenters", "apps"}
            found |= {f"{stem}.{alias.name}" for alias in node.names} if from_package else {stem}
    return found


def test_the_reader_of_imports_sees_relative_ones() -> None:
    assert "generators.hub" in _imports(ROOT / "generators/training/gan.py")
    assert "gandissect.runs" in _imports(ROOT / "generators/training/gan.py")


@pytest.mark.parametrize("package", ["gandissect", "generators", "segmenters"])
def test_no_package_imports_another_but_the_foundation(package: str) -> None:
    others = {"generators", "segmenters", "apps"} - {package}
    for path in _modules(package):
        for name in _imports(path):
            head, _, rest = name.partition(".")
            assert head not in others, f"{path} imports {name}"
            if head == "gandissect" and package != "gandissect":
                assert rest.split(".")[0] in FOUNDATION, f"{path} imports {name}, which is not of the foundation"


def test_imports_inside_the_method_run_downhill() -> None:
    for path in _modules("gandissect"):
        own = path.relative_to(ROOT / "gandissect").with_suffix("").parts[0]
        for name in _imports(path):
            head, _, rest = name.partition(".")
            module = rest.split(".")[0]
            if head == "gandissect" and module and module != own:
                assert RANKS[module] <= RANKS[own], f"{path}: {own} imports {module}, which stands above it"


def test_only_one_file_registers_hooks() -> None:
    holders = [
        path.name
        for package in ("gandissect", "generators", "segmenters", "apps")
        for path in _modules(package)
        if "register_forward" in path.read_text() or "register_full" in path.read_text()
    ]
    assert set(holders) <= {"hooks.py"}


def test_importing_the_method_stays_cheap() -> None:
    """Neither Streamlit nor segmentation models nor plotting is loaded by ``import gandissect``."""
    code = "import sys, gandissect; print([m for m in sys.modules if m.split('.')[0] in "
    code += "{'streamlit', 'segmentation_models_pytorch', 'torchvision', 'matplotlib', 'lightning', 'timm'}])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert output.stdout.strip() == "[]"


def test_no_unrestricted_unpickling() -> None:
    for package in ("gandissect", "generators", "segmenters", "apps"):
        for path in _modules(package):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
                text = ast.unparse(call.func)
                assert text not in {"eval", "exec", "pickle.load", "pickle.loads"}, f"{path}:{call.lineno}"
                if text == "torch.load":
                    restricted = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                    assert restricted.get("weights_only") == "True", f"{path}:{call.lineno}"

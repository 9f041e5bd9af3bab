"""The house of the design: rooms import only rooms on lower floors, hooks live in one file, nothing is unpickled."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from imports import PACKAGES, find_circle, imported_names, room_arrows, source_files

ROOT = Path(__file__).parents[2]
FLOORS = ("core", "storage", "interventions stats", "inference", "dissection fidelity latent", "causal artifacts")
FLOOR = {room: floor for floor, rooms in enumerate((*FLOORS, "report", "__init__")) for room in rooms.split()}


def test_rooms_of_the_method_import_only_rooms_on_lower_floors() -> None:
    wrong = [(a, b) for a, b in room_arrows(ROOT, "gandissect") if FLOOR[a] <= FLOOR[b]]
    assert not wrong, f"these imports do not lead to a lower floor: {wrong}"


@pytest.mark.parametrize("package", ["generators", "segmenters", "apps", "apps/explorer"])
def test_rooms_of_the_other_packages_import_each_other_in_no_circle(package: str) -> None:
    assert not find_circle(room_arrows(ROOT, package))


@pytest.mark.parametrize("package", ["gandissect", "generators", "segmenters"])
def test_no_package_imports_another_but_the_lowest_two_floors_of_the_method(package: str) -> None:
    for path in source_files(ROOT, package):
        for name in imported_names(path, ROOT):
            head, room = (*name.split("."), "")[:2]
            assert head not in {*PACKAGES[1:]} - {package}, f"{path} imports {name}"
            if head == "gandissect" != package:
                assert room in {"core", "storage"}, f"{path} imports {name}, which is not of core or storage"


def test_every_room_has_a_charter() -> None:
    for package in PACKAGES:
        for folder in {path.parent for path in source_files(ROOT, package)}:
            charter = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
            assert charter and charter.split("\n")[0].endswith("."), folder


def test_the_reader_sees_relative_imports_and_circles(tmp_path: Path) -> None:
    """The checks above could not fail if these two did not work."""
    (tmp_path / "p/high").mkdir(parents=True)
    (tmp_path / "p/high/a.py").write_text(
        "from ..low import b\nfrom p.low.b import c as d\nfrom . import e\nimport q.r\n"
    )
    (tmp_path / "p/low").mkdir()
    (tmp_path / "p/low/b.py").write_text("def f():\n    from ..high.a import x\n")
    (tmp_path / "p/low/c.py").write_text("from p import name\nfrom .. import other\n")
    assert imported_names(tmp_path / "p/high/a.py", tmp_path) == {"p.low.b", "p.low.b.c", "p.high.e", "q.r"}
    arrows = room_arrows(tmp_path, "p")
    assert arrows == {("high", "low"): 2, ("low", "high"): 1, ("low", "__init__"): 2}
    assert find_circle(arrows) == ["high", "low"]
    assert find_circle(Counter({("c", "b"): 1, ("b", "a"): 1})) == []


def test_only_one_file_registers_hooks() -> None:
    holders = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in source_files(ROOT, package)
        if "register_module_forward" in path.read_text() or "register_f" in path.read_text()
    }
    assert holders == {"gandissect/core/hooks.py"}


def test_importing_the_method_stays_cheap() -> None:
    """Streamlit, segmentation models, plotting and the shape checks of the tests are not loaded with the method."""
    code = "import sys, gandissect.inference.upsampling; print([m for m in sys.modules if m.split('.')[0] in {'streamlit', "
    code += "'segmentation_models_pytorch', 'torchvision', 'matplotlib', 'lightning', 'timm', 'beartype'}])"
    assert _run(code) == "[]"


def test_the_help_imports_no_torch() -> None:
    code = "import sys\nfrom apps.cli import main\ntry:\n    main(['--help'])\nfinally:\n    assert 'torch' not in sys.modules"
    _run(code)


def test_every_public_name_is_there_and_no_module_hides_it() -> None:
    """Importing a module sets its name in its package: one of the same name must not be the public one."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES[:3]
        for path in (ROOT / package).rglob("[a-z]*.py")
    ]
    code = f"""
import importlib, types
packages = [importlib.import_module(name) for name in ("gandissect", "gandissect.latent", "generators", "segmenters")]
for name in {modules}:
    importlib.import_module(name)
for package in packages:
    assert len(package.__all__) > 5, package
    print([name for name in package.__all__ if isinstance(getattr(package, name), types.ModuleType)])
"""
    assert _run(code).splitlines() == [str(sorted(set(FLOOR) - {"__init__"})), "[]", "[]", "[]"]


def test_no_unrestricted_unpickling_and_no_import_that_the_reader_cannot_see() -> None:
    for package in PACKAGES:
        for path in source_files(ROOT, package):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for call in [node for node in ast.walk(tree) if isinstance(node, ast.Call)]:
                text = ast.unparse(call.func)
                assert text not in {"eval", "exec", "pickle.load", "pickle.loads"}, f"{path}:{call.lineno}"
                if path != ROOT / "apps/cli.py":  # which finds a command by its name
                    hidden = {"import_module", "__import__", "resolve_name", "load_module"}
                    assert text.rpartition(".")[2] not in hidden, f"{path}:{call.lineno}"
                if text == "torch.load":
                    restricted = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
                    assert restricted.get("weights_only") == "True", f"{path}:{call.lineno}"


def _run(code: str) -> str:
    """Run code in a fresh interpreter; return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()

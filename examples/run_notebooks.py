"""Run the notebooks of this folder and write their outputs into them; Jupyter is not needed.

    python examples/run_notebooks.py                        # all of them
    python examples/run_notebooks.py examples/repair.ipynb  # one

Code cells are executed in order in one namespace per notebook. A cell's output is the text that it prints and the value
of its last expression, as text and, if the value supports it, as HTML or as a picture.
"""

from __future__ import annotations

import argparse
import ast
import base64
import io
import json
import re
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def run_notebook(path: Path) -> dict[str, Any]:
    """Return a notebook with the outputs of its cells.

    Args:
        path: Path of the notebook, ``*.ipynb``.

    Raises:
        RuntimeError: If a cell fails; the message shows the cell.
    """
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            code = "".join(cell["source"])
            try:
                cell["outputs"] = run_cell(code, namespace, count)
            except Exception as error:
                raise RuntimeError(f"cell {count} of {path.name} failed:\n{code}") from error
            cell["execution_count"] = count
    return notebook


def run_cell(code: str, namespace: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Run a cell and return its outputs in the notebook format.

    Args:
        code: Source of the cell.
        namespace: Variables of the notebook.
        count: Number of the cell, from 1.
    """
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(tree, f"cell {count}", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {count}", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"name": "stdout", "output_type": "stream", "text": printed.getvalue().splitlines(keepends=True)}
        )
    if value is not None:
        result = {"data": represent(value), "execution_count": count, "metadata": {}, "output_type": "execute_result"}
        outputs.append(result)
    return outputs


def represent(value: Any) -> dict[str, Any]:
    """Return a value as a notebook shows it, by media type.

    Args:
        value: Value of a cell's last expression.
    """
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # addresses differ from run to run
    data: dict[str, Any] = {"text/plain": text.splitlines(keepends=True)}
    if hasattr(value, "_repr_html_") and (html := value._repr_html_()):
        data["text/html"] = html.splitlines(keepends=True)
    for kind in ("jpeg", "png"):  # a picture has both, a figure only the second
        picture = getattr(value, f"_repr_{kind}_", None)
        if picture is not None:
            return data | {f"image/{kind}": base64.b64encode(picture()).decode("ascii")}
    return data


def main() -> None:
    """Run the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(description="Run notebooks and write their outputs into them.")
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="notebooks to run; all by default")
    for path in parser.parse_args().notebooks or sorted(HERE.glob("*.ipynb")):
        start = time.perf_counter()
        text = json.dumps(run_notebook(path), indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")
        print(f"{path}: {time.perf_counter() - start:.0f} s, {len(text) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

"""Run the Python of a documentation page from top to bottom: ``python examples/run_page.py PAGE FOLDER``.

The page's output files are written to the folder. This command makes the pictures of the tutorial:
``python examples/run_page.py docs/tutorial.md docs/tutorial``.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path


def read_code(page: Path) -> str:
    """Return a page's Python, with empty lines in place of everything else, so that line numbers match the page."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = re.match(r"```(\w*)$", line)
        lines.append(line if inside and not fence else "")
        inside = fence[1] == "python" if fence else inside
    return "\n".join(lines)


def run_page(page: Path, folder: Path) -> None:
    """Run a page's Python in a folder."""
    code = compile(read_code(page), str(page), "exec")
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    exec(code, {"__name__": "__main__"})


if __name__ == "__main__":
    run_page(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())

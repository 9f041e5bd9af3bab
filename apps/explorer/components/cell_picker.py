"""The cell picker: a picture on which the visitor chooses a cell of a layer's grid by click or arrow keys.

It is a Streamlit component without a build step. Its data are a picture and numbers, never text from a user.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

import streamlit as st

from ..state import axis_key, cell_key

AXES = ("row", "column")

HTML = """<div class="frame" tabindex="0" role="application"><img alt=""><div class="cell"></div></div>"""

CSS = """
.frame { position: relative; width: 100%; cursor: crosshair; outline: none; line-height: 0; }
.frame:focus-visible { box-shadow: 0 0 0 2px var(--st-primary-color, #f33); }
img { width: 100%; border-radius: 2px; user-select: none; -webkit-user-drag: none; }
.cell { position: absolute; box-sizing: border-box; border: 2px solid #fff; pointer-events: none;
  box-shadow: 0 0 0 1px #000, inset 0 0 0 1px #000; }
"""

JS = """
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

export default function ({ parentElement: root, data, setStateValue }) {
  const frame = root.querySelector(".frame"), cell = root.querySelector(".cell");
  const [rows, columns] = data.grid;
  let [row, column] = data.cell;
  const picture = root.querySelector("img");
  if (picture.src !== data.picture) picture.src = data.picture;
  picture.alt = data.alt;
  frame.setAttribute("aria-label", data.alt + " Use the arrow keys to move the cell.");

  function mark() {
    cell.style.left = (100 * column) / columns + "%";
    cell.style.top = (100 * row) / rows + "%";
    cell.style.width = 100 / columns + "%";
    cell.style.height = 100 / rows + "%";
  }
  function choose(r, c) {
    r = Math.max(0, Math.min(rows - 1, r));
    c = Math.max(0, Math.min(columns - 1, c));
    if (r === row && c === column) return;
    [row, column] = [r, c];
    mark();
    setStateValue("cell", [row, column]);
  }
  frame.onclick = (event) => {
    const box = frame.getBoundingClientRect();
    choose(
      Math.floor(((event.clientY - box.top) / box.height) * rows),
      Math.floor(((event.clientX - box.left) / box.width) * columns),
    );
  };
  frame.onkeydown = (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    choose(row + step[0], column + step[1]);
  };
  mark();
}
"""

_PICKER = st.components.v2.component("gandissect_cell_picker", html=HTML, css=CSS, js=JS)


def pick_cell(scope: str, picture: bytes, grid: tuple[int, int], alt: str) -> tuple[int, int]:
    """Let the visitor choose a cell by click, arrow keys or two numbers; return its row and column.

    Args:
        scope: Scope of the choice, part of the widgets' keys.
        picture: PNG of the picture.
        grid: Rows and columns of the grid.
        alt: Alternative text.
    """
    keys = [axis_key(axis, scope) for axis in AXES]
    for key, size in zip(keys, grid, strict=True):
        st.session_state.setdefault(key, size // 2)
    cell = [min(max(0, st.session_state[key]), size - 1) for key, size in zip(keys, grid, strict=True)]
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    _PICKER(
        key=cell_key(scope),
        data={"picture": url, "grid": list(grid), "cell": cell, "alt": alt},
        default={"cell": None},
        on_cell_change=lambda: _copy_cell(cell_key(scope), keys, grid),
    )
    for column, axis, key, size in zip(st.columns(2, wrap=False), AXES, keys, grid, strict=True):
        column.number_input(axis.capitalize(), 0, size - 1, key=key)
    return cell[0], cell[1]


def _copy_cell(key: str, axis_keys: list[str], grid: tuple[int, int]) -> None:
    """Copy the clicked cell to the two number fields, if it is valid."""
    state = st.session_state.get(key)
    cell = state.get("cell") if isinstance(state, Mapping) else None
    if not isinstance(cell, list) or len(cell) != len(grid):
        return
    if all(isinstance(index, int | float) and 0 <= index < size for index, size in zip(cell, grid, strict=True)):
        for axis, index in zip(axis_keys, cell, strict=True):
            st.session_state[axis] = int(index)

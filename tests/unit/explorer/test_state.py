"""The keys of a session are defined in one file; no other file spells one out."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.explorer import state

FOLDER = Path(state.__file__).parent
KEYS = {value for name, value in vars(state).items() if name.isupper() and isinstance(value, str)}
STORES = ("st.session_state", "st.query_params")


def is_store(node: ast.expr) -> bool:
    return ast.unparse(node) in STORES


def keys_of(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the keys of session or URL entries that an expression accesses."""
    if isinstance(node, ast.Subscript) and is_store(node.value):
        yield node.slice
    if isinstance(node, ast.Compare) and any(map(is_store, node.comparators)):
        yield node.left
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_store(node.func.value):
        yield from node.args[:1]
    if isinstance(node, ast.Call):
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        callbacks = [value for name, value in named.items() if name and name.startswith("on_")]
        if any(isinstance(value, ast.Attribute) and is_store(value.value) for value in callbacks):
            yield named["args"].elts[0]


def spelled_out(source: str) -> list[str]:
    """Return the keys that a source spells out, which should be names of `state`."""
    literals = []
    for node in ast.walk(ast.parse(source)):
        literals += [ast.unparse(key) for key in keys_of(node) if isinstance(key, ast.Constant | ast.JoinedStr)]
        if isinstance(node, ast.Attribute) and is_store(node.value) and not hasattr(dict, node.attr):
            literals += [node.attr] * (node.attr != "to_dict")
        if isinstance(node, ast.keyword) and node.arg == "key" and isinstance(node.value, ast.Constant):
            literals += [ast.unparse(node.value)] * (node.value.value in KEYS)
    return literals


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_file_spells_out_a_key_of_the_session(path: Path) -> None:
    assert path.name == "state.py" or not spelled_out(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        'st.session_state["film"] = 1',
        'st.session_state.get(f"level {number}")',
        'st.session_state.pop("film", None)',
        '"film" in st.session_state',
        "st.session_state.film = 1",
        'st.query_params["seed"]',
        'st.button("go", on_click=st.session_state.__setitem__, args=("film", True))',
        'st.number_input("seed", key="seed")',
    ],
)
def test_a_key_that_is_spelled_out_is_found(source: str) -> None:
    assert len(spelled_out(source)) == 1


def test_names_of_the_state_are_fine() -> None:
    source = "st.session_state[FILM]\nst.session_state.get(upload_key(3))\nst.button('go', key='look')\n"
    assert not spelled_out(source + "st.query_params.to_dict()")


def test_no_two_entries_share_a_key() -> None:
    names = [name for name, value in vars(state).items() if isinstance(value, str) and name.isupper()]
    assert len({getattr(state, name) for name in names}) == len(names) > 20

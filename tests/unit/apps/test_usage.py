"""What tyro writes into a box, in one sentence."""

from __future__ import annotations

import pytest

from apps.usage import summarize_box

MISSING = """
 Required options
 ------------------------------------------------------------------------------
  Missing from gandissect train generator:
      --data [STR [STR ...]]
          What to learn from, each scenes, scenes:COUNT, FOLDER or
          --like-an-option FOLDER@SPLIT. (required)
      --out PATH
          Folder of the run. (required)
  ------------------------------------------------------------------------------
  Unrecognized options:
      --bf
      3
  ------------------------------------------------------------------------------
  For full helptext, run:
      gandissect train generator --help

"""
MEANT = """
 Unrecognized options
 -----------------------------------------
  Unrecognized options: --jsn
  -----------------------------------------
  Perhaps you meant:
      --json, --no-json
          Print as JSON. (default: False)
  -----------------------------------------
  For full helptext, run gandissect models --help
"""
VALUE = """
 Value error
 ----------------------------------------------
  Error parsing --seed: invalid literal 'x'
  ----------------------------------------------
  Argument helptext:
      --seed INT
      Which sequence of pictures. (default: 1)
  ----------------------------------------------
  For full helptext, see gandissect sample --help
"""
CHOICE = """
 Invalid choice
 ----------------------------------------------
  invalid choice 'hing' for argument '--loss'.
  Expected one of ('logistic', 'hinge').
"""
HELP = "see gandissect sample --help"
VALUES = {
    "--seed: invalid literal for int() with base 10: '1.5'": "--seed must be an integer; got '1.5'",
    "--rate: could not convert string to float: 'abc'": "--rate must be a number; got 'abc'",
    "--start: no type matching {None}|INT could be instantiated from ['x'].\n\n  Got errors:\n  - <class 'int'>: no": (
        "--start must be an integer or None; got 'x'"
    ),
    "settings: images (--images) must be 1; got 0": "images (--images) must be 1; got 0",
    "settings.architecture: input_size must be 1; got 0": "input_size must be 1; got 0",
}


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (
            MISSING,
            "train generator needs --data, --out; unrecognized options: --bf 3; see gandissect train generator --help",
        ),
        (MEANT, "unrecognized options: --jsn; perhaps you meant --json; see gandissect models --help"),
        (VALUE, "error parsing --seed: invalid literal 'x'; see gandissect sample --help"),
        (CHOICE, "invalid choice 'hing' for argument '--loss'; expected one of ('logistic', 'hinge')"),
        *(
            (VALUE.replace("Error parsing --seed: invalid literal 'x'", f"Error parsing {box}"), f"{said}; {HELP}")
            for box, said in VALUES.items()
        ),
        (" of another\n form ", "of another form"),
        ("", ""),
    ],
)
def test_a_box_becomes_a_sentence(box: str, said: str) -> None:
    assert summarize_box(box) == said

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


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (MISSING, "train generator needs --data, --out; not understood: --bf 3; see gandissect train generator --help"),
        (MEANT, "not understood: --jsn; perhaps you meant --json; see gandissect models --help"),
        (VALUE, "error parsing --seed: invalid literal 'x'; see gandissect sample --help"),
        (CHOICE, "invalid choice 'hing' for argument '--loss'; expected one of ('logistic', 'hinge')"),
        (" of another\n form ", "of another form"),
        ("", ""),
    ],
)
def test_a_box_becomes_a_sentence(box: str, said: str) -> None:
    assert summarize_box(box) == said

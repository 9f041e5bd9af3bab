"""The shapes in signatures are checked while tests run, and only there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from gandissect.inference.upsampling import upsample


def test_a_wrong_shape_is_found() -> None:
    assert upsample(torch.zeros(1, 2, 3, 3), (4, 4)).shape == (1, 2, 4, 4)
    with pytest.raises(TypeCheckError, match="activation"):
        upsample(torch.zeros(2, 3, 3), (4, 4))


@pytest.mark.wrong_shape
def test_a_marked_test_reaches_the_function_itself() -> None:
    with pytest.raises(Exception, match=r".") as caught:
        upsample(torch.zeros(2, 3, 3), (4, 4))
    assert not isinstance(caught.value, TypeCheckError)


def test_users_do_not_pay() -> None:
    code = "import sys, gandissect.inference.upsampling; print('beartype' in sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert output.stdout.strip() == "False"

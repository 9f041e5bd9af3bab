"""The shapes in signatures are checked while tests run, and only there."""

from __future__ import annotations

from dataclasses import dataclass

import jaxtyping
import pytest
import torch
from jaxtyping import Float32, TypeCheckError
from shape_checks import check_shapes
from torch import Tensor

from gandissect.inference.upsampling import upsample


def test_a_wrong_shape_is_found() -> None:
    assert upsample(torch.zeros(1, 2, 3, 3), (4, 4)).shape == (1, 2, 4, 4)
    with pytest.raises(TypeCheckError, match="activation"):
        upsample(torch.zeros(2, 3, 3), (4, 4))


@jaxtyping.jaxtyped(typechecker=check_shapes)
@dataclass
class Pair:
    """What the import hook makes of a dataclass."""

    images: Float32[Tensor, "batch 3 H W"]
    scores: Float32[Tensor, " batch"] | None = None


def test_fields_of_a_dataclass_are_checked() -> None:
    Pair(torch.zeros(2, 3, 4, 4), torch.zeros(2))
    with pytest.raises(TypeCheckError, match="scores"):
        Pair(torch.zeros(2, 3, 4, 4), torch.zeros(3))


def test_a_function_without_a_shape_is_left_alone() -> None:
    def count(images: list[int]) -> int:
        return len(images)

    assert jaxtyping.jaxtyped(count, typechecker=check_shapes) is count


def test_a_shape_that_nobody_could_check_is_refused() -> None:
    def count(images: Float32[Tensor, MISSING]) -> int:  # noqa: F821
        return len(images)

    with pytest.raises(NameError, match="cannot be checked"):
        jaxtyping.jaxtyped(count, typechecker=check_shapes)


@pytest.mark.wrong_shape
def test_a_marked_test_reaches_the_function_itself() -> None:
    with pytest.raises(Exception, match=r".") as caught:
        upsample(torch.zeros(2, 3, 3), (4, 4))
    assert not isinstance(caught.value, TypeCheckError)

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


@jaxtyping.jaxtyped(typechecker=check_shapes)
def grow(
    images: Float32[Tensor, "batch side"], rows: int, *, other: Float32[Tensor, "batch side"] | None = None
) -> Float32[Tensor, "batch side"]:
    """Return what only looks right if ``rows`` is 0."""
    return torch.zeros(len(images) + rows, images.shape[1])


def test_shapes_and_dtypes_that_were_never_seen_before_are_checked_at_every_call() -> None:
    """Shapes that were found right are not compared again; all others are, in arguments and in results."""
    good, calls = torch.zeros(2, 3), 3
    for _ in range(calls):
        assert grow(good, 0, other=good).shape == grow(images=good, rows=0).shape == grow(good, 0).shape
    for arguments, options in (
        ((torch.zeros(2, 3, 1), 0), {}),
        ((good.double(), 0), {}),
        ((good.tolist(), 0), {}),
        ((None, 0), {}),
        ((good, 0), {"other": torch.zeros(2, 4)}),
        ((good, 0), {"other": good.long()}),
    ):
        with pytest.raises(TypeCheckError, match="parameters"):
            grow(*arguments, **options)
    for _ in range(calls):
        with pytest.raises(TypeCheckError, match="return value"):
            grow(good, 1)
        with pytest.raises(TypeCheckError, match="return value"):
            grow(torch.zeros(7, 3), 1)
        assert grow(good, 0).shape == (2, 3)


@jaxtyping.jaxtyped(typechecker=check_shapes)
def first_of(pair: tuple[Float32[Tensor, " n"], Float32[Tensor, " n"]], *more: int) -> list[Float32[Tensor, " n"]]:
    """Return a list of the wrong length if there is more."""
    return [torch.zeros(len(pair[0]) + sum(more))]


def test_tensors_in_lists_are_checked_at_every_call() -> None:
    pair = (torch.zeros(2), torch.zeros(2))
    for _ in range(3):
        assert len(first_of(pair)[0]) == 2
        with pytest.raises(TypeCheckError, match="return value"):
            first_of(pair, 1)
        with pytest.raises(TypeCheckError, match="parameters"):
            first_of((torch.zeros(2), torch.zeros(3)))


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

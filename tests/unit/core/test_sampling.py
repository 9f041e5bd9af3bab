from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, strategies as st

import generators
import segmenters
from gandissect import average_causal_effect, dissect, find_repair, measure_concept_effects
from gandissect.core import UnitSet
from gandissect.core.sampling import blocks, derive_seed, make_rng, sample_z
from gandissect.latent import invert, path_length
from segmenters.datasets import open_source


@given(st.integers(0, 20), st.integers(0, 20), st.integers(-5, 2**40))
def test_a_latent_vector_depends_on_its_seed_and_index_only(start: int, count: int, seed: int) -> None:
    whole = sample_z(start + count, 5, seed)
    assert torch.equal(whole[start:], sample_z(count, 5, seed, start))


def test_latent_vectors_are_standard_normal_and_uncorrelated() -> None:
    z = sample_z(4000, 8, seed=3)
    # 4.5 standard errors of a mean, a variance and a correlation at n = 4000
    assert z.mean(dim=0).abs().max() < 4.5 / 4000**0.5
    assert (z.var(dim=0) - 1).abs().max() < 4.5 * (2 / 4000) ** 0.5
    assert (torch.corrcoef(z.T) - torch.eye(8)).abs().max() < 4.5 / 4000**0.5
    assert (z[1:] * z[:-1]).mean().abs() < 4.5 / (8 * 4000) ** 0.5


def test_streams_differ_and_do_not_touch_global_state() -> None:
    before = torch.random.get_rng_state()
    drawn = {torch.rand((), generator=make_rng(*key)).item() for key in [(0, "a"), (0, "b"), (1, "a"), (0, "a", 1)]}
    assert len(drawn) == 4
    assert torch.equal(before, torch.random.get_rng_state())


def test_derived_seeds_are_the_hash_that_is_promised() -> None:
    import hashlib

    digest = hashlib.blake2b(b"(7, 'z', 3)", digest_size=8).digest()
    assert derive_seed(7, "z", 3) == int.from_bytes(digest, "little") // 2


@given(st.integers(0, 300), st.integers(1, 40), st.integers(0, 100))
def test_blocks_cover_every_sample_once_and_are_aligned(count: int, size: int, start: int) -> None:
    cut = list(blocks(count, size, start))
    assert [i for block in cut for i in block] == list(range(start, start + count))
    assert all(block.start % size == 0 for block in cut[1:])
    assert all(block.start // size == (block.stop - 1) // size for block in cut)


@pytest.mark.parametrize("arguments", [(-1, 4), (3, 0), (3, 4, 0, -1)])
def test_counts_out_of_range_are_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        sample_z(*arguments)


@pytest.mark.parametrize("num_samples", [100_000_001, 10**18, 10**40])
@pytest.mark.parametrize(
    "draw",
    [
        lambda G, S, n: sample_z(n, 4),
        lambda G, S, n: dissect(G, S, num_samples=n),
        lambda G, S, n: average_causal_effect(G, S, UnitSet("layer1", (0,)), "red", num_samples=n),
        lambda G, S, n: measure_concept_effects(G, S, "red", num_samples=n),
        lambda G, S, n: find_repair(G, torch.zeros(30, 3, 16, 16, dtype=torch.uint8), S, num_samples=n),
        lambda G, S, n: find_repair(G, torch.zeros(30, 3, 16, 16, dtype=torch.uint8), S, num_images=n),
        lambda G, S, n: invert(G, torch.zeros(1, 3, 16, 16), num_candidates=n),
        lambda G, S, n: path_length(G, "means", lambda images: images.mean((2, 3)), "z", n),
        lambda G, S, n: open_source(f"scenes:{n}", 64),
    ],
    ids=["sample_z", "dissect", "effect", "effects", "ranking", "choice", "inversion", "path length", "scenes"],
)
def test_more_samples_than_days_of_work_are_refused(draw: Callable[..., object], num_samples: int) -> None:
    generator, segmenter = generators.PlantedGenerator(size=16, cells=8), segmenters.load("palette")
    with pytest.raises(ValueError, match=f"num_samples must be at most 100,000,000; got {num_samples:,}"):
        draw(generator, segmenter, num_samples)

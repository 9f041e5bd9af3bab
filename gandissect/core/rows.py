"""Rows of a generator: how many there are, and which of their entries are noise."""

from __future__ import annotations

from .protocols import Generator, as_captioned, as_conditional, as_translation


def noise_length(generator: Generator) -> int:
    """Return the number of entries of a row that are noise; the rest, if any, is the class, caption or picture.

    Raises:
        ValueError: If a row is a picture without noise.
    """
    part = as_translation(generator) or as_conditional(generator) or as_captioned(generator)
    length = generator.z_dim if part is None else part.noise_dim
    if not length:
        raise ValueError(
            f"{generator.name} translates pictures without noise, so there is no latent space to move in, to find "
            "directions in or to invert pictures to; edit its units instead"
        )
    return length


def check_rows(generator: Generator, stop: int) -> None:
    """Check that a generator has rows for the samples before ``stop``, as one of latent vectors always has.

    Raises:
        ValueError: If it translates fewer pictures.
    """
    if (translation := as_translation(generator)) is not None:
        check_row_range(stop, 0, len(translation.pictures))


def limit_rows(generator: Generator, num_samples: int) -> int:
    """Return a number of samples, or the number of pictures where a translator has fewer."""
    translation = as_translation(generator)
    return num_samples if translation is None else min(num_samples, len(translation.pictures))


def repeat_rows(generator: Generator, num_samples: int) -> list[range]:
    """Return samples as sets that a generator has: one, or one for each pass over the pictures of a translator."""
    count = limit_rows(generator, num_samples)
    rest = [range(num_samples % count)] if count and num_samples % count else []
    return [range(count)] * (num_samples // max(count, 1)) + rest


def check_row_range(num_rows: int, start: int, num_pictures: int) -> None:
    """Check that a translation has a picture for each of its rows.

    Args:
        num_rows: Number of rows.
        start: Index of the first row.
        num_pictures: Number of pictures.

    Raises:
        ValueError: If a number is negative, or a row has no picture.
    """
    if min(num_rows, start) < 0:
        raise ValueError(f"num_samples and start must be at least 0; got {num_rows} and {start}")
    if start + num_rows > num_pictures:
        raise ValueError(
            f"a translator has one row per picture, {num_pictures} in all; got {num_rows} samples from number {start}; "
            "use fewer samples (num_samples, --num-samples) or more pictures"
        )

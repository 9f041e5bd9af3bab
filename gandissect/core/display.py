"""How results show themselves: one line as text, a small page in a notebook, a table in pandas.

A result inherits `Displayed` and summarizes itself; one with records inherits `Tabular`. The HTML is made in `rich`,
which is imported when a notebook asks for it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MAX_REPR = 180
"""Maximum number of characters of a result's ``repr``."""


class Displayed:
    """A result that shows itself in a console and in a notebook; dataclasses that inherit it need ``repr=False``."""

    __slots__ = ()

    @abstractmethod
    def _summarize(self) -> str:
        """Return the key figures in a few words."""

    def _html_parts(self) -> Iterable[str]:
        """Yield what a notebook shows below the summary, as HTML."""
        return ()

    def __repr__(self) -> str:
        text = " ".join(f"{type(self).__name__}({self._summarize()})".split())
        return text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 2]}\N{HORIZONTAL ELLIPSIS})"

    def _repr_html_(self) -> str:
        from .rich import render_result

        return render_result(self, self._html_parts())


class Tabular(Displayed):
    """A result with records: a notebook shows them as a table, and pandas takes them."""

    __slots__ = ()

    @abstractmethod
    def records(self) -> list[dict[str, Any]]:
        """Return a plain dictionary for each row."""

    def to_pandas(self) -> pd.DataFrame:
        """Return the records as a pandas DataFrame, one row for each.

        Raises:
            ImportError: If pandas is not installed.
        """
        return to_pandas(self.records())

    def _html_parts(self) -> Iterable[str]:
        from .rich import draw_records

        return (draw_records(self.records()),)


def to_pandas(records: list[dict[str, Any]]) -> pd.DataFrame:
    """Return records as a pandas DataFrame.

    Raises:
        ImportError: If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas; install it, or use records()", name="pandas") from error
    return pandas.DataFrame.from_records(records)


def count_units(number: int, layer: str) -> str:
    """Return ``20 units of layer4``."""
    return f"{count_things(number, 'unit')} of {layer}"


def count_things(number: int, noun: str) -> str:
    """Return ``1 picture`` or ``20 pictures``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def name_captions(captions: Sequence[str]) -> str:
    """Return ``of 'a lake' and 2 more captions``, which follows the name of a generator that draws from captions.

    Args:
        captions: The captions, at least one.
    """
    others = len(captions) - 1
    return f"of {captions[0]!r}" + (f" and {count_things(others, 'more caption')}" if others else "")


def format_error(value: float, error: float) -> str:
    """Return ``0.083 ± 0.004 SE``: a value, and its standard error with two significant digits."""
    digits = count_digits(error)
    return f"{value:.{digits}f} ± {error:.{digits}f} SE" if digits is not None else f"{value:.3g} ± {error:.3g} SE"


def count_digits(error: float) -> int | None:
    """Return the number of decimals with which an error has two significant digits; None if it has none."""
    if not 0 < error < math.inf:
        return None
    return max(0, 1 - math.floor(math.log10(error)))

"""Text of figures: names are shown literally, in fonts that have their characters."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

logger = logging.getLogger(__name__)

BOX = "\N{WHITE SQUARE}"
"""Replacement for characters that no installed font has."""

STANDARD = "sans-serif"
"""Default font family of all text."""

MAX_FONTS = 4
"""Maximum number of fonts tried after the default; those with most of the missing characters come first."""


def finish_text(figure: Figure) -> Figure:
    """Return a figure whose text is shown literally, without formulas between dollar signs or missing characters.

    Characters that the default font lacks come from other installed fonts. Characters that no font has are replaced by
    boxes, with one warning.

    Args:
        figure: Finished figure.
    """
    from matplotlib.axes import Axes

    texts = list(_list_texts(figure))
    for text in texts:
        text.set_parse_math(False)
    letters = frozenset("".join(text.get_text() for text in texts))
    families, missing = _choose_fonts(letters, any(text.get_fontweight() == "bold" for text in texts))
    if missing:
        _replace_letters(figure, str.maketrans(dict.fromkeys(missing, BOX)))
    if len(families) > 1:
        for text in texts:
            text.set_fontfamily(families)
        for axes in figure.findobj(Axes):
            axes.tick_params(which="both", labelfontfamily=families)
    return figure


def _list_texts(figure: Figure) -> Iterable[Text]:
    """Yield the texts of a figure, including those of axes and table cells."""
    from matplotlib.table import Table
    from matplotlib.text import Text

    yield from figure.findobj(Text)
    for table in figure.findobj(Table):
        yield from (cell.get_text() for cell in table.get_celld().values())


def _replace_letters(figure: Figure, boxes: dict[int, str]) -> None:
    """Replace characters by boxes."""
    from matplotlib.axis import Axis

    for text in _list_texts(figure):
        text.set_text(text.get_text().translate(boxes))
    for axis in figure.findobj(Axis):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        changed = [label.translate(boxes) for label in labels]
        if changed != labels:
            axis.set_ticklabels(changed)


@cache
def _choose_fonts(letters: frozenset[str], bold: bool) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return installed font families that cover the characters, the default first, and the characters no font has.

    Args:
        letters: Characters of a figure.
        bold: Whether some are bold, in which case the fonts must also have them in bold.
    """
    from matplotlib.font_manager import FontProperties, findfont

    families, missing = [STANDARD], letters - {"\n"}
    missing -= _read_letters(findfont(FontProperties(family=[STANDARD])))
    for _ in range(MAX_FONTS):
        family, known = max(_find_fonts(missing, bold), key=lambda pair: len(pair[1]), default=("", frozenset()))
        if not known:
            break
        families.append(family)
        missing -= known
    if missing:
        logger.warning(
            "no installed font has %s, so figures show boxes instead; install a font that has them, such as Noto Sans "
            "CJK for Chinese, Japanese and Korean",
            "".join(sorted(missing)),
        )
    return tuple(families), missing


def _find_fonts(letters: frozenset[str], bold: bool) -> Iterable[tuple[str, frozenset[str]]]:
    """Yield the families of upright installed fonts of regular weight, in order, each with the characters it has."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    if not letters:
        return
    entries = [font for font in fontManager.ttflist if font.style == "normal" and font.weight in (400, "normal")]
    for font in sorted(entries, key=lambda font: (font.name, font.fname)):
        if "lastresort" not in font.name.lower().replace(" ", ""):  # it has boxes for all characters
            known = letters & _read_letters(font.fname)
            if bold and known:
                known &= _read_letters(findfont(FontProperties(family=[font.name], weight="bold")))
            yield font.name, known


@cache
def _read_letters(path: str) -> frozenset[str]:
    """Return the characters that a font has; none if it cannot be read or is a bitmap font."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()

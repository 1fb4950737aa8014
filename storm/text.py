"""Text for people: tables as text or Markdown, and lines that a terminal only shows."""

import os
import shlex
import unicodedata
from collections.abc import Sequence

import tabulate

Cell = str | int | float | None
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a formula of a spreadsheet program begins
FORMATS = {"text": "simple", "markdown": "pipe"}  # ours -> tabulate's


def table(rows: Sequence[Sequence[Cell]], kind: str = "text") -> str:
    """A table as text or Markdown; the first row is the header. Text columns stand left, all others right.

    None is an empty cell, a fraction gets three places, a whole number a comma between thousands. Text from a file may
    hold control characters: they are shown as their codes.
    """
    head, *body = [[_cell(value) for value in row] for row in rows]
    columns = list(zip(*rows[1:])) or [()] * len(head)
    sides = ["left" if _is_text(column) else "right" for column in columns]
    if kind == "markdown":
        body = [[cell.replace("|", "\\|") for cell in row] for row in body]
    tabulate.MIN_PADDING = 0  # a header is not widened beyond its cells
    return tabulate.tabulate(body, head, tablefmt=FORMATS[kind], disable_numparse=True, colalign=sides)


def _is_text(column: Sequence[Cell]) -> bool:
    """Whether a column holds words: some text that does not begin with a digit, a sign or a mark."""
    return any(isinstance(cell, str) and cell and not cell.lstrip("~+-−*=?")[:1].isdigit() for cell in column)


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    return f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


def number(value: Cell, interval: tuple[float, float] | None = None) -> Cell:
    """A fraction with its interval as one cell, "0.779 (0.725, 0.829)"; anything else as it is."""
    if not isinstance(value, float):
        return value
    return f"{value:.3f}" + (f" ({interval[0]:.3f}, {interval[1]:.3f})" if interval else "")


def printable(text: object) -> str:
    """One line: characters that a terminal would act on, or break the line at, are written as their codes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))


def command_line(words: Sequence[object]) -> str:
    """A command, ready to paste into bash, whatever the names of files are: control characters stand as codes."""
    return " ".join(_quoted(str(word)) for word in words)


def _quoted(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    letters = [{"\\": "\\\\", "'": "\\'"}.get(c) or (c if c.isprintable() else _code(c)) for c in word]
    return f"$'{''.join(letters)}'"


def _code(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def folded(name: str) -> str:
    """A name for comparing: one Unicode form (tar files of CACD hold two), one case."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def harmless(cell: Cell) -> Cell:
    """A cell of a csv file that spreadsheet programs do not take for a formula: a "'" before such a text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA and len(cell) > 1 else cell


def one_case(text: str) -> str:
    """A text for comparing: spacing and case aside."""
    return " ".join(text.casefold().split())

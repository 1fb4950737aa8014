"""What all commands share: "did you mean", old names of options, and the line that ends a command that cannot go on."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from storm.text import printable


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """ "did you mean spaq?" for a value that is nearly one of the known ones, else which there are. Of a value that
    several begin with, these."""
    known = list(known)
    begun = [name for name in known if value and name.lower().startswith(value.lower())]
    if len(begun) > 1:
        return f"choose from {', '.join(begun[:20])}{' ...' if len(begun) > 20 else ''}"
    near = get_close_matches(value, known, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"choose from {', '.join(known[:20])}{' ...' if len(known) > 20 else ''}"


def one_of(known: Iterable[str]) -> Callable[[str], str]:
    """A type for argparse: one of the known values."""
    known = list(known)

    def chosen(value: str) -> str:
        if value not in known:
            raise argparse.ArgumentTypeError(f"{value!r} is not known; {did_you_mean(value, known)}")
        return value

    return chosen


def not_empty(text: str) -> str:
    """A type for argparse: text with more than blanks, since "" would count as an option that is left out."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty, as an unset variable of the shell is; write it, or leave it out")
    return text


class Parser(argparse.ArgumentParser):
    """argparse's parser; an option that it does not know is named with the one that was meant."""

    words: Sequence[str] = ()  # of the command line

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> tuple:
        self.words = sys.argv[1:] if args is None else list(args)
        words: list[str] = []
        for word in self.words:  # argparse takes the value of "--range -1,5" for an option
            if words and re.fullmatch(r"-[\d.].*", word) and re.fullmatch(r"--[\w-]+", words[-1]):
                words[-1] += f"={word}"
            else:
                words.append(word)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        unknown = message.removeprefix("unrecognized arguments: ")
        options = [text for action in self._actions for text in action.option_strings]
        if message.startswith("the following arguments are required"):  # one of them may be there, but mistyped
            names = [word.split("=")[0] for word in self.words if word.startswith("--")]
            unknown = " ".join(name for name in names if not any(text.startswith(name) for text in options)) or message
        if unknown != message:
            hints = [near[0] for word in unknown.split() if (near := get_close_matches(word.split("=")[0], options, 1))]
            hint = f"did you mean {hints[0]}?" if hints else f"see {self.prog} --help"
            message = f"unrecognized arguments: {unknown}; {hint}"
        super().error(printable(message))


class _OldName(argparse.Action):
    """An option by its old name: works for one more version, with a warning."""

    def __init__(self, *args: Any, new: argparse.Action, **named: Any) -> None:
        super().__init__(*args, **named)
        self.new = new

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: str | None = None):
        name = self.new.option_strings[0]
        print(f"warning: {option_string} is now called {name}; the old name will be removed", file=sys.stderr)
        setattr(namespace, self.new.dest, self.const if self.nargs == 0 else values)


def add_old_name(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Let an option of the parser be given by its old name, too: it is not in --help, and warns."""
    action = next(action for action in parser._actions if new in action.option_strings)
    named: dict = {"nargs": action.nargs, "const": action.const, "type": action.type, "choices": action.choices}
    named |= {"dest": action.dest, "default": argparse.SUPPRESS, "help": argparse.SUPPRESS, "new": action}
    parser.add_argument(old, action=_OldName, **named)


def positive(text: str) -> int:
    """A type for argparse: a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: write 1 or more")
    return number


def port(text: str) -> int:
    """A type for argparse: the number of a port."""
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: write a number from 1 to 65535")
    return int(text)


def print_errors(errors: Sequence[object]) -> int:
    """Print a line for each error to stderr. Returns the exit code: 2 if there is one, else 0."""
    for error in errors:
        print(f"error: {printable(describe(error))}", file=sys.stderr)
    return 2 if errors else 0


def describe(error: object) -> str:
    """An error as one line. An OSError names its file and what is wrong, without "[Errno 2]"."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        reason = "no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror.lower()
        return f"{error.filename}: {reason}"
    return str(error)


def until_stopped(work: Callable[[], None]) -> int:
    """Run a server until Ctrl-C. Returns the exit code; what stands in its way is one line."""
    try:
        work()
    except (ValueError, OSError) as error:
        return print_errors([error])
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    return 0

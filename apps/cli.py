"""The command ``gandissect``: one subcommand is one public call.

Exit status: 0 on success; 2 on a usage or input error, with one line on stderr; 1 on an unexpected
failure; 130 when stopped by Ctrl-C; 141 when the reader of the output has gone. A subcommand's module is
imported only when it is asked for, so that ``--help`` answers at once.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import keyword
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from itertools import takewhile
from types import ModuleType
from typing import Any, TextIO

from gandissect.core import unknown_name_message

from .usage import put_subject_first, summarize_box

PROGRAM = "gandissect"
COMMANDS = {
    "models": "list the bundled models with their cards",
    "sample": "write a grid of a generator's pictures",
    "train generator": "train a GAN on a folder of pictures, or on rendered scenes",
    "train segmenter": "train a segmentation network on labeled pictures",
    "fidelity": "measure how far a generator's pictures are from held-out real ones",
    "shares": "find what a generator leaves out: shares of concepts in generated and real pictures",
    "dissect": "find what each unit of a generator draws, and write the report",
    "merge": "put the shards of a dissection together, and write the report",
    "report": "write the report of a saved dissection again",
    "compare": "compare dissections: interpretable units by model, layer and concept",
    "effect": "measure what units cause: pixels that a concept gains and loses when they are forced on and off",
    "repair": "find the units behind unrealistic pictures, switch them off, and report what that changes",
    "directions": "find directions of the latent space, and what moving along each does to every concept",
    "edit": "make the images of a recipe, unchanged and edited",
    "interpolate": "show the way from picture to picture: a strip, a grid between four, or a film",
    "mix": "make a table of pictures with styles or activations of two each",
    "invert": "find real pictures in a generator's latent space, and make them again, edited too",
    "import": "read a checkpoint that others have made, without running its code, or say what is in it",
    "explore": "open a page on which units are looked at and switched off",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        arguments: Without the program's name; by default those of the process.
    """
    _replace_unprintable(sys.stdout)
    try:
        status = _run_command(list(sys.argv[1:] if arguments is None else arguments))
        if sys.stdout is not None:  # as it is of a process that was started without one
            sys.stdout.flush()
    except BrokenPipeError:
        status = _end_quietly()
    sys.exit(status)


def _replace_unprintable(stream: TextIO | None) -> None:
    """Let a stream print a question mark for what its encoding lacks, so that finished work does not end in an error.

    ``sys.stderr`` prints escape sequences for it anyway.
    """
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")


def _run_command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(_format_overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(importlib.import_module(PROGRAM).__version__)
        return 0
    if arguments[0] == "train" and set(arguments[1:]) <= {"-h", "--help"}:
        print(_format_overview())
        return 0 if len(arguments) > 1 else 2
    name, rest = _split_command(arguments)
    if name is None:
        words = " ".join(arguments[:2] if arguments[0] == "train" else arguments[:1])
        return _refuse(unknown_name_message("command", words, COMMANDS))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")  # Pillow's; what is too large is refused
    command = None
    try:
        command = _parse(name, rest)
        command.run()
    except _Help:
        return 0
    except BrokenPipeError:
        raise
    except (ValueError, KeyError, TypeError, OSError, FloatingPointError) as error:
        return _refuse(_format_error(error))
    except KeyboardInterrupt:
        return _refuse(f"stopped{_say_how_to_resume(command)}", status=130)
    return 0


def _say_how_to_resume(command: object) -> str:
    """Return how the rest of a stopped command is run, empty where all of it must be."""
    if hasattr(command, "resume"):
        return "; the same command with --resume takes it up again"
    return "; the same command resumes the run" if getattr(command, "RESUMES", False) else ""


class _Help(Exception):
    """The help of a subcommand was asked for and printed."""


def _split_command(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Return the subcommand's name, of one word or two, and its options."""
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS and len(arguments) >= words:
            return name, arguments[words:]
    return None, arguments


def _parse(name: str, arguments: list[str]) -> Any:
    """Return the subcommand with its options filled in.

    Raises:
        ValueError: With what is wrong, on one line.
    """
    import tyro

    stem = f"{name.replace(' ', '_')}{'_' if keyword.iskeyword(name) else ''}"
    module = importlib.import_module(f"apps.commands.{stem}")
    prog = f"{PROGRAM} {name}"
    config: list[Any] = [] if hasattr(module, "TAKES_NONE") else [tyro.conf.DisallowNone]
    if {"-h", "--help"} & set(arguments):
        with contextlib.suppress(SystemExit):
            words = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
            tyro.cli(module.Options, args=[*words, "--help"], prog=prog, config=config)
        raise _Help
    _check_first(module, arguments)
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
            words = put_subject_first(module.Options, arguments)
            return tyro.cli(module.Options, args=words, prog=prog, config=config)
    except SystemExit as stop:
        raise ValueError(summarize_box(output.getvalue())) from stop


def _check_first(module: ModuleType, arguments: list[str]) -> None:
    """Raise ValueError unless a subcommand that begins with one of several words is given one of them."""
    kind, known = getattr(module, "FIRST", ("", ()))
    word = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if known and word is None and not set(known) & set(arguments):
        raise ValueError(f"name the {kind} first: {', '.join(known)}")
    if known and word is not None and word not in known:
        raise ValueError(unknown_name_message(kind, word, known))


def _format_error(error: Exception) -> str:
    """Return an error's message on one line; a KeyError would show its own in quotes."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, UnicodeError):
        text = str(error)  # its first argument is the encoding only
    else:
        text = str(error.args[0]) if error.args else type(error).__name__
    return " ".join(text.split())


def _end_quietly() -> int:
    """End quietly because whoever read the output has gone (``| head``); Python would complain when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # 128 + SIGPIPE, as other programs do


def _refuse(message: str, status: int = 2) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return status


def _format_overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [OPTIONS]",
            "",
            "Open up GANs: see what each unit draws, prove it, and use it.",
            "",
            "commands:",
            *lines,
            "",
            f"`{PROGRAM} COMMAND --help` lists the options of a command; `{PROGRAM} --version` the version.",
        ]
    )


if __name__ == "__main__":
    main()

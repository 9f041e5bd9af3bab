"""The command ``gandissect``: each subcommand is one public call.

Exit status: 0 on success; 2 on a usage or input error, with one line on stderr; 1 on an unexpected
failure; 130 after Ctrl-C; 141 if the reader of the output has closed the pipe. A subcommand's module is
imported only when the subcommand runs, which keeps ``--help`` fast.
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
    "models": "list the bundled models",
    "sample": "write a grid of a generator's images",
    "translate": "translate pictures with a translator, such as a pix2pix or a CycleGAN",
    "train generator": "train a GAN on a folder of pictures or on rendered scenes",
    "train segmenter": "train a segmentation network on labeled pictures",
    "fidelity": "measure the distance of a generator's images from held-out real pictures",
    "shares": "report which concepts a generator under- or over-produces",
    "dissect": "find the concept that each unit of a generator matches, and write a report",
    "merge": "merge dissection shards, and write the report",
    "report": "rewrite the report of a saved dissection",
    "compare": "compare dissections: interpretable units by model, layer and concept",
    "effect": "measure the causal effect of units: the pixels of a concept with the units forced on and off",
    "repair": "find the units behind unrealistic images, switch them off, and report the change",
    "directions": "find directions in latent space, and measure how each changes every concept",
    "edit": "render a recipe's images, original and edited",
    "interpolate": "interpolate between images: as a strip, a grid between four, or a GIF",
    "mix": "render a table of images that combine the styles or activations of two",
    "invert": "reconstruct real pictures from a generator's latent space, and edit the reconstructions",
    "import": "import a third-party checkpoint without running its code",
    "explore": "open the interactive explorer",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        arguments: Command-line arguments without the program's name; by default those of the process.
    """
    _replace_unprintable(sys.stdout)
    try:
        status = _run_command(list(sys.argv[1:] if arguments is None else arguments))
        if sys.stdout is not None:  # as in a process started without a standard output
            sys.stdout.flush()
    except BrokenPipeError:
        status = _end_quietly()
    sys.exit(status)


def _replace_unprintable(stream: TextIO | None) -> None:
    """Print a question mark for each character that a stream cannot encode, so that finished work ends without error.

    ``sys.stderr`` already prints escape sequences for them.
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
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")  # our readers refuse such files
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
        return _refuse(f"stopped{_explain_resuming(command)}", status=130)
    return 0


def _explain_resuming(command: object) -> str:
    """Return how to continue a stopped command; empty if it must start over."""
    if hasattr(command, "resume"):
        return "; rerun the command with --resume to continue"
    return "; rerun the command to continue" if getattr(command, "RESUMES", False) else ""


class _Help(Exception):
    """Raised once the help of a subcommand has been printed."""


def _split_command(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Return the subcommand's name, one or two words, and its options."""
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS and len(arguments) >= words:
            return name, arguments[words:]
    return None, arguments


def _parse(name: str, arguments: list[str]) -> Any:
    """Return the subcommand with its options filled in.

    Raises:
        ValueError: If the arguments are invalid; the message is one line.
    """
    import tyro

    from .options import annotate_options

    stem = f"{name.replace(' ', '_')}{'_' if keyword.iskeyword(name) else ''}"
    module = importlib.import_module(f"apps.commands.{stem}")
    options = getattr(module, "choose_options", lambda _: module.Options)(arguments)
    annotate_options(options)
    prog = f"{PROGRAM} {name}"
    config: list[Any] = [] if hasattr(module, "TAKES_NONE") else [tyro.conf.DisallowNone]
    if {"-h", "--help"} & set(arguments):
        with contextlib.suppress(SystemExit):
            words = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
            tyro.cli(options, args=[*words, "--help"], prog=prog, config=config)
        raise _Help
    _check_first(module, arguments)
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
            words = put_subject_first(options, arguments)
            return tyro.cli(options, args=words, prog=prog, config=config)
    except SystemExit as stop:
        known = getattr(module, "FIRST", ("", ()))[1]
        first = next((word for word in arguments if word in known), None)
        page = f"{prog} --help" if first is None else f"{prog} {first} --help"
        raise ValueError(summarize_box(output.getvalue()).replace(f"{prog} --help", page)) from stop


def _check_first(module: ModuleType, arguments: list[str]) -> None:
    """Raise ValueError if a subcommand that must begin with one of several words does not."""
    kind, known = getattr(module, "FIRST", ("", ()))
    word = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if known and word is None and not set(known) & set(arguments):
        raise ValueError(f"name the {kind} first: {', '.join(known)}")
    if known and word is not None and word not in known:
        raise ValueError(unknown_name_message(kind, word, known))


def _format_error(error: Exception) -> str:
    """Return an error's message on one line, without the quotes that str(KeyError) adds."""
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    elif isinstance(error, UnicodeError):
        text = str(error)  # its first argument is only the name of the encoding
    else:
        text = str(error.args[0]) if error.args else type(error).__name__
    return " ".join(text.split())


def _end_quietly() -> int:
    """End quietly after the reader of the output has closed the pipe (``| head``); flushing would raise again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # 128 + SIGPIPE, the shell's convention


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
            "Dissect GANs: see what each unit represents, test what it causes, and use it.",
            "",
            "commands:",
            *lines,
            "",
            f"Run `{PROGRAM} COMMAND --help` for the options of a command, `{PROGRAM} --version` for the version.",
        ]
    )


if __name__ == "__main__":
    main()

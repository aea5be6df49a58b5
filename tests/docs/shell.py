"""Whether a command of the documentation is one: its program, its subcommand and its options exist."""

from __future__ import annotations

import os
import pkgutil
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import metadata
from pathlib import Path

import click
import dagster as dg
from blocks import ROOT
from dagster._cli import create_dagster_cli
from dagster_dg_cli.cli import create_dg_cli

from thunderbit_dagster.cli import main


def check(command: str) -> str:
    """What is wrong with a command; empty when nothing is."""
    words = shlex.split(command)
    program, arguments = words[0], words[1:]
    known = PROGRAMS.get(program)
    if known is not None:
        return known(arguments)
    return "" if _is_script(program) else f"nobody knows the program {program}"


def _own(arguments: Sequence[str]) -> str:
    command: click.Command = main
    rest = list(arguments)
    try:
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            _, found, rest = command.resolve_command(click.Context(command), rest)
            assert found is not None
            command = found
        with command.make_context("thunderbit-dagster", rest):
            return ""
    except click.exceptions.Exit:  # --help and --version
        return ""
    except click.ClickException as error:
        return error.format_message()


def _of(root: click.Command) -> Callable[[Sequence[str]], str]:
    """A command line of others: the subcommand and the long options exist."""

    def check_words(arguments: Sequence[str]) -> str:
        command, rest = root, list(arguments)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            if command.name == "defs":  # its commands are the components of the environment
                return _component(rest[0])
            found = command.get_command(click.Context(command), rest[0])
            if found is None:
                return f"{root.name} has no command {rest[0]}"
            command, rest = found, rest[1:]
        options = {option for param in command.params for option in param.opts} | {"--help"}
        unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in options]
        return f"{command.name} has no option {unknown[0]}" if unknown else ""

    return check_words


def _component(name: str) -> str:
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        found = None
    return "" if isinstance(found, type) and issubclass(found, dg.Component) else f"{name} is no component"


def _make(arguments: Sequence[str]) -> str:
    text = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z][\w-]*):", text, re.MULTILINE)
    variables = re.findall(r"^([A-Z]+) *\??:?=", text, re.MULTILINE)
    for word in arguments:
        if word.partition("=")[0] not in (variables if "=" in word else targets):
            return f"the Makefile has no {word}"
    return ""


def _pip(arguments: Sequence[str]) -> str:
    known = set(metadata("thunderbit-dagster").get_all("Provides-Extra") or [])
    for extras in re.findall(r"thunderbit-dagster\[([^\]]*)\]", " ".join(arguments)):
        if unknown := set(extras.split(",")) - known:
            return f"there is no extra {', '.join(unknown)}"
    return "" if arguments[:1] == ["install"] else f"pip {' '.join(arguments)} is not checked"


def _export(arguments: Sequence[str]) -> str:
    """A setting must be one that the code, or the software below it, reads."""
    code = "".join(file.read_text() for file in (ROOT / "thunderbit_dagster").rglob("*.py"))
    names = [word.partition("=")[0] for word in arguments]
    unknown = [name for name in names if name not in code and not name.startswith(("DAGSTER_", "AWS_"))]
    return f"nothing reads {unknown[0]}" if unknown else ""


def _cd(arguments: Sequence[str]) -> str:
    return "" if (ROOT / arguments[0]).is_dir() else f"there is no folder {arguments[0]}"


def _is_script(program: str) -> bool:
    file = ROOT / program
    return program.startswith((".", "scripts/")) and file.is_file() and os.access(file, os.X_OK)


def _python(arguments: Sequence[str]) -> str:
    file = Path(arguments[0])
    return "" if (ROOT / file).is_file() else f"there is no {file}"


PROGRAMS: Mapping[str, Callable[[Sequence[str]], str]] = {
    "thunderbit-dagster": _own,
    "dagster": _of(create_dagster_cli()),
    "dg": _of(create_dg_cli()),
    "make": _make,
    "pip": _pip,
    "export": _export,
    "cd": _cd,
    "python": _python,
}

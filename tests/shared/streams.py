"""Commands run with their output and their messages apart, whichever click is installed."""

import inspect

from click.testing import CliRunner

APART = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
"""Up to click 8.1 the two have to be parted; since 8.2 they always are."""


def runner(**options):
    return CliRunner(**APART, **options)

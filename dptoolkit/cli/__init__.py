"""The command line: `dptoolkit COMMAND`; results to files or stdout, messages to stderr."""

from dptoolkit.cli.app import app, main

__all__ = ["app", "main"]

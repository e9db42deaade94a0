"""Files that are whole or not there."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_text(path: str | Path, text: str) -> Path:
    """Replace `path` by a file of UTF-8 text."""
    return write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Replace `path` by a file of `content`."""
    return write_with(path, lambda file: file.write(content))


def write_with(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Replace `path` by what `write` puts into an open file: written beside, on disk, then renamed."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path

"""Files that a browser sends."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dptoolkit.io import InputError

Opened = TypeVar("Opened")


def opened_upload(name: str, content: bytes, max_mb: float, read: Callable[[Path], Opened]) -> Opened:
    """What `read` makes of an uploaded file; an `InputError` names it as the user does."""
    if len(content) > max_mb * 1e6:
        raise InputError(
            f"{name}: has {len(content) / 1e6:.0f} MB; expected at most {max_mb:g} MB; "
            f"start the server with a larger --max-upload"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(name).name or "upload")
        path.write_bytes(content)
        try:
            return read(path)
        except ValueError as error:
            raise InputError(str(error).replace(str(path), name)) from None

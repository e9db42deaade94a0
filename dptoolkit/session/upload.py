"""Files that a browser sends."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dptoolkit.io import InputError

Opened = TypeVar("Opened")
MAX_UPLOAD = "DPTOOLKIT_MAX_UPLOAD_MB"
"""Environment variable by which an app learns the largest upload [MB]."""


def upload_limit() -> float:
    """The largest upload [MB]."""
    return float(os.environ.get(MAX_UPLOAD, "100"))


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

"""Folders that come with the package and are no part of it: apps, notebooks, benchmarks."""

from pathlib import Path


def shipped_folder(name: str) -> Path:
    """`apps`, `notebooks` or `benchmarks`: of the checkout, or inside the installed package."""
    package = Path(__file__).parent
    for folder in (package.parent / name, package / "_shipped" / name):
        checkout = (package.parent / "pyproject.toml").is_file()
        if folder.is_dir() and (checkout or folder.parent != package.parent):
            return folder
    raise FileNotFoundError(2, "this folder is not part of the installation; install dptoolkit again", name)

"""The versions of packages that a result, a checkpoint or a report was made with."""

import platform
from importlib import metadata

from xeval import __version__


def versions(*packages: str) -> dict[str, str]:
    """The version of Python, of xeval and of each package; ``not installed`` where there is none."""
    found = {"python": platform.python_version(), "xeval": __version__}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found

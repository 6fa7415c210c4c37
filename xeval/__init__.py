"""Zero-shot cross-lingual evaluation of stored checkpoints, and a verdict with honest intervals."""

from importlib.metadata import version

__version__ = version("xeval-transfer")
__all__ = ["__version__"]

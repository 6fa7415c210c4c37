"""``python -m xeval`` is the ``xeval`` command."""

from xeval.cli import main

main()

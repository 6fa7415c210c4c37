"""``python -m xeval.cli`` is the ``xeval`` command."""

from xeval.cli import main

main()

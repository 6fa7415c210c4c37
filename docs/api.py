"""Writes api.md, the page of ``import xeval``, from the docstrings. Run it after one has changed: python docs/api.py"""

import inspect
from pathlib import Path

import xeval

PAGE = Path(__file__).with_name("api.md")


def page() -> str:
    """The page as Markdown."""
    parts = [
        "# Python interface",
        "Made by `python docs/api.py` from the docstrings. `import xeval` loads none of it; each name is loaded "
        "when it is first used. [examples/quickstart.ipynb](../examples/quickstart.ipynb) shows the way from scores "
        "to a verdict.",
    ]
    for name in xeval.__all__:
        if name == "__version__":
            continue
        value = getattr(xeval, name)
        kind = "class " if inspect.isclass(value) else ""
        signature = "" if inspect.isclass(value) else str(inspect.signature(value)).replace("'", "")
        parts += [f"## {kind}`{name}{signature}`", _text(inspect.getdoc(value) or "")]
        if inspect.isclass(value) and value.__module__ == "xeval.api":
            members = inspect.getmembers(value)
            parts += [_method(method, member) for method, member in members if _shown(value, method)]
    return "\n\n".join(parts) + "\n"


def _shown(owner: type, name: str) -> bool:
    """Whether a member is one that the class itself defines, and no field of it, which the docstring names."""
    fields = getattr(owner, "__dataclass_fields__", {})
    return not name.startswith("_") and name in vars(owner) and name not in fields


def _method(name: str, member: object) -> str:
    function = member.fget if isinstance(member, property) else member
    signature = "" if isinstance(member, property) else str(inspect.signature(function)).replace("'", "")  # type: ignore[arg-type]
    return f"**`.{name}{signature}`** " + (inspect.getdoc(member) or "").partition("\n")[0]


def _text(doc: str) -> str:
    """A docstring with its indented parts as code."""
    plain, _, example = doc.partition("Example:")
    lines = plain.rstrip().splitlines()
    body = "\n".join(lines[:1])
    if rest := "\n".join(lines[1:]).strip("\n"):
        body += f"\n\n```text\n{rest}\n```"
    if example:
        code = "\n".join(
            line.strip().removeprefix(">>> ").removeprefix("... ") for line in example.strip().splitlines()
        )
        body += f"\n\n```python\n{code}\n```"
    return body


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

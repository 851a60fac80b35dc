"""The fields that a class of somebody else's sets on its objects, read off its source."""

from __future__ import annotations

import ast
import inspect
import textwrap


def fields_of(cls: type) -> set[str]:
    """Names that the class or one of its bases assigns: on ``self``, or as fields of a dataclass."""
    found: set[str] = set()
    for base in cls.__mro__[:-1]:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError):
            continue  # a class of the interpreter's
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for target in targets:
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    found.add(target.attr)
                elif isinstance(target, ast.Name):
                    found.add(target.id)
    return found

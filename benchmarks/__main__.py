"""List the benchmarks, a line each: `python -m benchmarks`."""

from __future__ import annotations

import ast
from pathlib import Path


def benchmarks() -> dict[str, str]:
    """Return the name of each benchmark and the first paragraph of its docstring."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text())
        is_run = any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body)
        if is_run and path.stem != "__main__":
            found[path.stem] = " ".join((ast.get_docstring(tree) or "").split("\n\n")[0].split())
    return found


def main() -> None:
    for name, sentence in benchmarks().items():
        print(f"  {name:10} {sentence}")
    print("Run one: make bench NAME=ingest ARGS='--rounds 4'")


if __name__ == "__main__":
    main()

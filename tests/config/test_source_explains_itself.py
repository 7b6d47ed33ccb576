"""What a reader may count on in the source: arguments explained, shapes of JSON stated, comments above their line."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(
    path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "benchmarks")
)
SOURCES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts
)
# Comments of so many words may stand behind their line.
FEW_WORDS = 4
# A file that is full has no line left for a comment of its own. Only these packages still have such files; their
# comments move when the files are split.
FULL = 380
FULL_IN = ("gateway/proxy", "deployments/cluster")
PRAGMA = re.compile(r"(noqa|type:|fmt:|nosec|pragma|pylint|ruff|mypy|isort)")


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, list[str]]]:
    """Public functions, and public methods that no other class prescribes, with their arguments."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and prescribes_itself(node):
            yield from ((method, arguments(method)[1:]) for method in node.body if is_public(method))
        elif is_public(node):
            yield node, arguments(node)


def prescribes_itself(node: ast.ClassDef) -> bool:
    return all(ast.unparse(base).split("[")[0] in ("Protocol", "Generic", "ABC") for base in node.bases)


def is_public(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")


def arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]


def unexplained(source: str) -> list[str]:
    found = []
    for node, names in functions(ast.parse(source)):
        said = ast.get_docstring(node) or ""
        missing = [name for name in names if not re.search(rf"(?<!\w){name}(?!\w)", said)]
        if len(names) >= 4 and missing:
            found.append(f"{node.name}: {', '.join(missing)}")
    return found


def test_functions_of_four_and_more_arguments_say_what_each_is():
    found = [f"{path}: {one}" for path in SOURCES for one in unexplained(path.read_text())]
    assert found == [], "name each argument in the docstring"


def test_the_search_for_arguments_finds_a_silent_one():
    silent = 'def act(a, b, c, d):\n    """Do it to `a`, `b` and `c`."""\n'
    assert unexplained(silent) == ["act: d"]
    assert unexplained(silent.replace("`c`", "`c`, not `d`")) == []
    assert unexplained("class Acts:\n    def act(self, a, b, c, d):\n        pass\n") == ["act: a, b, c, d"]


def shapeless(source: str) -> list[str]:
    lines = source.split("\n")
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("models.JSONField("):
            above = lines[node.lineno - 2].strip()
            if not above.startswith("#") and "help_text" not in ast.unparse(node.value):
                found.append(ast.unparse(node.targets[0]))
    return found


def test_json_columns_say_their_shape():
    models = [path for path in SOURCES if path.stem == "models" or "models" in path.parts]
    found = [f"{path}: {one}" for path in models for one in shapeless(path.read_text())]
    assert found == [], "say the shape in a comment above the column"
    assert shapeless("facts = models.JSONField()\n") == ["facts"]


def behind_their_line(path: Path) -> list[str]:
    found = []
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            code = token.line[: token.start[1]].strip()
            if token.type != tokenize.COMMENT or not code or "# fmt:" in token.line or "# noqa" in token.line:
                continue
            said = token.string.lstrip("# ")
            if not PRAGMA.match(said) and (len(said.split()) > FEW_WORDS or re.match(r"[)\]}]", code)):
                found.append(f"{path}:{token.start[0]}: {said}")
    return found


def test_comments_stand_above_their_line():
    full = {
        path for package in FULL_IN for path in (ROOT / package).rglob("*.py")
        if path.read_text().count("\n") >= FULL
    }  # fmt: skip
    found = [one for path in SOURCES if path not in full for one in behind_their_line(path)]
    assert found == [], "move the comment above its line"


@pytest.mark.parametrize(
    "line", ["x = 1  # a comment of a few words too many", "x = f(\n    1,\n)  # torn off"]
)
def test_a_comment_behind_its_line_is_found(tmp_path, line):
    (tmp_path / "one.py").write_text(f"{line}\n")
    assert len(behind_their_line(tmp_path / "one.py")) == 1

"""Our scripts are modules: the browser is told of all at once, and each finds the others by their hashed names."""

import re
from pathlib import Path

from django.contrib.staticfiles.storage import StaticFilesStorage

from config.static_files import HashedFiles

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
MODULES = STATIC / "qm" / "js"
IMPORT = re.compile(r"^(?:import|\} from|import .* from) '\./([a-z_.0-9]+)';$", re.M)


def imported(module: Path) -> set[str]:
    return set(IMPORT.findall(module.read_text()))


def reached_from(name: str) -> set[str]:
    found, waiting = set(), [name]
    while waiting:
        for other in imported(MODULES / waiting.pop()) - found:
            found.add(other)
            waiting.append(other)
    return found


def test_the_page_names_every_module_that_it_will_need():
    text = (ROOT / "templates/components/modules.html").read_text()
    named = re.findall(r"""rel="modulepreload" href="\{% static 'qm/js/([a-z_.]+)' %\}""", text)
    assert set(named) == reached_from("main.js")
    assert len(named) == len(set(named))


def test_every_module_is_used_by_a_page():
    templates = "".join(path.read_text() for path in (ROOT / "templates").rglob("*.html"))
    loaded = re.findall(r"""<script type="module" src="\{% static 'qm/js/([a-z_.]+)' %\}""", templates)
    used = set(loaded).union(*(reached_from(name) for name in loaded))
    assert {path.name for path in MODULES.iterdir()} == used


def test_collected_modules_import_each_other_by_their_hashed_names(tmp_path):
    source, collected = StaticFilesStorage(STATIC), HashedFiles(tmp_path)
    names = [str(path.relative_to(STATIC)) for path in STATIC.rglob("*") if path.is_file()]
    for name in names:
        with source.open(name) as file:
            collected.save(name, file)
    for _name, _hashed, outcome in collected.post_process({name: (source, name) for name in names}):
        assert not isinstance(outcome, Exception), outcome
    for path in MODULES.iterdir():
        hashed = tmp_path / collected.stored_name(f"qm/js/{path.name}")
        expected = {Path(collected.stored_name(f"qm/js/{name}")).name for name in imported(path)}
        assert imported(hashed) == expected
        assert all((hashed.parent / name).is_file() for name in expected)
        assert hashed.with_name(f"{hashed.name}.gz").is_file() or hashed.stat().st_size < 500

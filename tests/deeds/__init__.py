"""Everything people do, by area, for the role matrix (tests/role_matrix.py).

A module here holds a list whose name ends with _DEEDS; that is all it takes to be tried.
"""

import importlib
import pkgutil

_MODULES = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
_LISTS = [deeds for module in _MODULES for name, deeds in vars(module).items() if name.endswith("_DEEDS")]
DEEDS = {deed.name: deed for deeds in _LISTS for deed in deeds}
assert len(DEEDS) == sum(map(len, _LISTS)), "two deeds have one name"

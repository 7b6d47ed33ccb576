"""Everything people do, by area, for the role matrix (tests/role_matrix.py).

A module here holds a list whose name ends with _ACTIONS; that is all it takes to be tried.
"""

import importlib
import pkgutil

_MODULES = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
_LISTS = [
    actions for module in _MODULES for name, actions in vars(module).items() if name.endswith("_ACTIONS")
]
ACTIONS = {action.name: action for actions in _LISTS for action in actions}
assert len(ACTIONS) == sum(map(len, _LISTS)), "two actions have one name"

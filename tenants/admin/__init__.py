"""Operators' admin pages for tenants, keys, limits and tokens. This package imports each of its modules."""

from importlib import import_module
from pkgutil import iter_modules

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")

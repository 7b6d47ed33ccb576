"""Operators' pages about people, and the parts that all operators' pages share. Loads every module here."""

from importlib import import_module
from pkgutil import iter_modules

from accounts.admin.base import ReadOnly, ReadOnlyAdmin

__all__ = ["ReadOnly", "ReadOnlyAdmin"]

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")

"""Operators' pages: people, tenants, keys, limits and the audit trail. Django finds them by this module."""

from tenants.admin import appointments, audit, closing, directory, keys, people, scim, tenancy
from tenants.admin.base import LookAdmin, LookOnly, go_to

__all__ = [
    "LookAdmin",
    "LookOnly",
    "appointments",
    "audit",
    "closing",
    "directory",
    "go_to",
    "keys",
    "people",
    "scim",
    "tenancy",
]

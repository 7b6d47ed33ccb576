"""Operators' pages: people, tenants, keys, limits and the audit trail. Django finds them by this module."""

from tenants.admin import audit, directory, keys, people, tenancy, tokens
from tenants.admin.base import LookAdmin, LookOnly, go_to

__all__ = ["LookAdmin", "LookOnly", "audit", "directory", "go_to", "keys", "people", "tenancy", "tokens"]

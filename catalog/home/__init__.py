"""Blocks of the catalog on home pages: the reviews that wait for a reviewer, and a tenant's requests and access."""

from catalog.home import staff, tenant

__all__ = ["staff", "tenant"]

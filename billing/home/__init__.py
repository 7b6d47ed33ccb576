"""Blocks of billing on home pages: of the platform's finance, and of a tenant."""

from billing.home import staff, tenant

__all__ = ["staff", "tenant"]

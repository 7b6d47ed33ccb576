"""Tenants, projects, members, keys, limits and the audit log over HTTP."""

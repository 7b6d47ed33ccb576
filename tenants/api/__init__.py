"""Tenants, projects, members, keys, limits and the audit trail over HTTP."""

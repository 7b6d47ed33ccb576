"""Signing in at the organization's OpenID provider (docs/identity.md), based on mozilla-django-oidc."""

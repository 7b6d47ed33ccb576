"""Signing in at the organization's OpenID provider (docs/identity.md), on mozilla-django-oidc."""

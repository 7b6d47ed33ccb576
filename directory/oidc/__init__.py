"""Signing in at the organisation's OpenID provider (docs/identity.md), on mozilla-django-oidc."""

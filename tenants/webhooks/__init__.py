"""Webhooks by the Standard Webhooks specification (docs/notifications.md): events, signatures, sending."""

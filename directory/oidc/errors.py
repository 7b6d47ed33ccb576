"""Reasons why a sign-in at the provider failed. Each tells the person what happened and what to do."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _


class ProviderProblem(Exception):
    """A failed sign-in. `heading` and `message` are for the person, `reason` is for the log."""

    status = 403
    heading = _("You are not signed in")

    def __init__(self, message: object, *, reason: str) -> None:
        super().__init__(reason)
        self.message, self.reason = message, reason


class SignInRefused(ProviderProblem):
    """The provider vouches for nobody, or for a person whom the console does not let in. HTTP 403."""


class StaleSignIn(ProviderProblem):
    """The provider's answer belongs to no sign-in that this browser began. HTTP 400."""

    status = 400
    heading = _("This sign-in failed")

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("It began too long ago or in another browser, or is already finished. Start again."),
            reason=reason,
        )


class ProviderUnavailable(ProviderProblem):
    """The provider does not answer, or reports that it cannot. HTTP 503; another attempt may work."""

    status = 503
    heading = _("The identity provider does not answer")

    def __init__(self, reason: str) -> None:
        super().__init__(
            _(
                "You need it to sign in. Keys and calls through the gateway keep working. Try again in a "
                "minute. If the error persists, send the reference to your platform team."
            ),
            reason=reason,
        )


class ProviderMisbehaved(ProviderProblem):
    """The provider's answer violates the protocol, or the provider rejects the console itself. HTTP 502."""

    status = 502
    heading = _("The identity provider gave an invalid answer")

    def __init__(self, reason: str) -> None:
        super().__init__(
            _(
                "You are not signed in. Start again. If the error persists, send the reference to your "
                "platform team."
            ),
            reason=reason,
        )


class GrantLost(ProviderProblem):
    """The provider no longer honors a code or refresh token (`invalid_grant`): disabled, revoked or expired."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("The identity provider no longer accepts this sign-in. Start again."), reason=reason
        )

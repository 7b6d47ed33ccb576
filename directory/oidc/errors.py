"""Why a sign-in at the provider did not happen: each says to the person what happened and what to do."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _


class ProviderProblem(Exception):
    """A sign-in that did not happen. `heading` and `message` are for the person, `reason` for the log."""

    status = 403
    heading = _("You are not signed in")

    def __init__(self, message: object, *, reason: str) -> None:
        super().__init__(reason)
        self.message, self.reason = message, reason


class SignInRefused(ProviderProblem):
    """The provider vouches for somebody whom the console does not let in, or for nobody. HTTP 403."""


class StaleSignIn(ProviderProblem):
    """An answer of the provider that belongs to no sign-in this browser has begun. HTTP 400."""

    status = 400
    heading = _("This sign-in cannot be finished")

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("It was begun too long ago, in another browser, or it is finished already. Start again."),
            reason=reason,
        )


class ProviderUnavailable(ProviderProblem):
    """The provider does not answer, or says that it cannot. HTTP 503; trying again may work."""

    status = 503
    heading = _("The identity provider does not answer")

    def __init__(self, reason: str) -> None:
        super().__init__(
            _(
                "Signing in needs it. Keys and calls through the gateway go on. Try again in a minute; "
                "if it stays, tell your platform team the reference."
            ),
            reason=reason,
        )


class ProviderMisbehaved(ProviderProblem):
    """The provider answers what the protocol does not allow, or refuses the console itself. HTTP 502."""

    status = 502
    heading = _("The identity provider gave an answer that cannot be trusted")

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("You are not signed in. Start again; if it stays, tell your platform team the reference."),
            reason=reason,
        )


class GrantLost(ProviderProblem):
    """The provider no longer honours a code or refresh token (`invalid_grant`): disabled, revoked or expired."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            _("The identity provider no longer honours this sign-in. Start again."), reason=reason
        )

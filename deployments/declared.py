"""What every action on a deployment requires: an operator, and a deployment that is not being deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.utils.translation import gettext as _

from accounts.declared import Action, action
from accounts.models import User
from core.errors import Conflict
from deployments.models import Deployment

P = ParamSpec("P")
R = TypeVar("R")


def changes_deployment(
    *refuse: Callable[[Deployment], None],
) -> Callable[[Callable[P, R]], Action[Deployment, P, R]]:
    """Declare an action on a deployment. Each of `refuse` raises Conflict for a further obstacle."""

    def state(by: User | None, deployment: Deployment) -> None:
        if deployment.is_deleted:
            raise Conflict(_("This deployment is being deleted; create another one."))
        for question in refuse:
            question(deployment)

    return action(Deployment, permission="deployments.manage_deployment", state=state)

"""Publishing a configuration: each part in the version that is asked for, and proved.

What cannot be proved is replaced by what can (gateway/corrections.py), so that it holds nothing else back, least of all
a revocation. Operators are told what and why.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import DatabaseError
from django.db.models import Exists, OuterRef
from msgspec.structs import replace

from catalog.models import CatalogModel, Grant
from gateway import records
from gateway.contract import CONTRACT_VERSION
from gateway.contract import v1_config as v1
from gateway.contract.stream import ConfigPart, ConfigRecords, ConfigRouting, ProjectRecord, TenantRecord
from gateway.contract.versions import Downgrade
from gateway.corrections import Corrector, Publishable, publishable, readable
from gateway.last_proved import keep_proved, last_proved
from gateway.prices import prices_of
from gateway.proof import NotProved, Proof
from gateway.refused import note_refused


class Publishing:
    """Proves the parts of one configuration in the order in which they are sent.

    Args:
        routes: the routes and prices that a gateway has once it has applied the message.
        version: of the contract, in which the parts are sent.
        is_everything: the message holds every project.
        corrects: whether a part that cannot be proved is replaced. Otherwise it raises NotProved.
    """

    def __init__(
        self, routes: Publishable, version: int, *, is_everything: bool, corrects: bool = True
    ) -> None:
        self.routing, self.version = routes.routing, version
        self._faults = list(routes.faults)
        # Whether all routes are proved, and proved as they are today.
        self._proves_routes = is_everything
        self._are_todays = not routes.faults
        self._proof = Proof(routes.routing, version, is_everything=is_everything)
        self._corrector = Corrector(routes.routing, version, is_everything=is_everything)
        self._corrects = corrects
        self._downgrade = None if version == CONTRACT_VERSION else Downgrade(routes.routing.routes)

    def __call__(self, part: ConfigPart) -> ConfigPart | v1.ConfigPart:
        """The part as gateways get it. Raises NotProved."""
        sent = part if self._downgrade is None else self._downgraded(self._downgrade, part)
        self._proves_routes = self._proves_routes or isinstance(part, ConfigRouting)
        try:
            self._proof.take(sent)
        except NotProved as fault:
            if not self._corrects:
                raise
            self._faults.append(fault)
            sent = self._corrector.corrected(sent)
            self._proof.take(sent)
        return sent

    def _downgraded(self, downgrade: Downgrade, part: ConfigPart) -> v1.ConfigPart:
        try:
            return downgrade.part(part)
        except Exception as error:
            raise NotProved(f"Version 1 of the contract cannot say a part of it: {error!r}.") from error

    def records(
        self, tenants: list[TenantRecord], projects: list[ProjectRecord]
    ) -> tuple[list[TenantRecord], list[ProjectRecord]]:
        """These records of the newest version, with no more than gateways of the version may get."""
        sent = self(ConfigRecords(tenants=tenants))
        if isinstance(sent, ConfigRecords):
            tenants = sent.tenants
        sent = self(ConfigRecords(projects=projects))
        if isinstance(sent, ConfigRecords):
            return tenants, sent.projects
        assert isinstance(sent, v1.ConfigRecords)
        ends = {one.id: one.grant_ends for one in sent.projects}
        return tenants, [replace(one, grant_ends=ends[one.id]) for one in projects]

    def note(self, revision: int, others: Sequence[NotProved] = ()) -> None:
        """Tell operators what could not be proved, `others` besides, and keep the routes if they could be.

        Call it after the transaction.
        """
        if faults := [*self._faults, *others]:
            note_refused(faults, revision)
        if self._proves_routes and self._are_todays:
            keep_proved(self.routing, revision)


def publishable_routing(version: int, today: ConfigRouting | None = None) -> Publishable:
    """The routes and prices of now as far as they can be proved for gateways of `version`, and the faults of the rest.

    They are read, unless they are `today`. Raises NotProved if they cannot be compiled and none were proved before.
    """
    found = _publishable_routing(today)
    return found if version == CONTRACT_VERSION else readable(found, version, last_proved)


def _publishable_routing(today: ConfigRouting | None) -> Publishable:
    try:
        return publishable(today or todays_routing(), last_proved)
    except NotProved as fault:
        if (last := last_proved()) is None:
            raise
        found = publishable(last, last_proved)
        return Publishable(found.routing, [fault, *found.faults])


def todays_routing() -> ConfigRouting:
    """All routes, and the prices of models that are routed or granted. Raises NotProved if they cannot be compiled."""
    try:
        return routing_now()
    except DatabaseError:
        # There are no revocations without it either.
        raise
    except Exception as error:
        raise NotProved(f"The routes cannot be compiled: {error!r}") from error


def routing_now() -> ConfigRouting:
    """All routes, and the prices of models that are routed or granted."""
    routes = records.routes()
    granted = Grant.objects.across_tenants().in_force().filter(model=OuterRef("pk"))
    models = {route.model for route in routes}
    models.update(CatalogModel.objects.filter(Exists(granted)).values_list("name", flat=True))
    return ConfigRouting(routes=routes, prices=prices_of(models))

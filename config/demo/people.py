"""The people of the demo. All of them are fictitious; `.example` is reserved (RFC 2606)."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.roles import StaffRole
from tenants.models import DataClass
from tenants.roles import Role

STAFF_DOMAIN = "platform.example"


@dataclass(frozen=True)
class DemoPerson:
    """`tenant` None means platform staff; `role` is then a staff role."""

    name: str
    role: str
    tenant: str | None = None

    @property
    def email(self) -> str:
        domain = f"{self.tenant}.example" if self.tenant else STAFF_DOMAIN
        return f"{self.name.split()[0].lower()}@{domain}"


HIGHEST_DATA_CLASS = {
    "aurora-bank": DataClass.CONFIDENTIAL,
    "helios-retail": DataClass.INTERNAL,
    "vita-clinic": DataClass.RESTRICTED,
}

PEOPLE = [
    DemoPerson("Ada Lindholm", Role.DEVELOPER, "aurora-bank"),
    DemoPerson("Bruno Keller", Role.OWNER, "aurora-bank"),
    DemoPerson("Chiara Rossi", Role.FINANCE, "aurora-bank"),
    DemoPerson("Hugo Petit", Role.DEVELOPER, "helios-retail"),
    DemoPerson("Vera Novak", Role.DEVELOPER, "vita-clinic"),
    DemoPerson("Olga Operator", StaffRole.OPERATOR),
    DemoPerson("Selma Reyes", StaffRole.SECURITY_REVIEWER),
    DemoPerson("Marek Lind", StaffRole.COMPLIANCE_REVIEWER),
    DemoPerson("Tomas Weber", StaffRole.COST_REVIEWER),
    DemoPerson("Nina Baker", StaffRole.CONTROLLER),
    DemoPerson("Jonas Holm", StaffRole.AUDITOR),
]

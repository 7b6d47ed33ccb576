"""The organisations and people of the demo. All of them are made up; `.example` is reserved (RFC 2606)."""

from __future__ import annotations

from dataclasses import dataclass

from tenants.models import DataClass
from tenants.roles import Role, StaffRole

STAFF_DOMAIN = "platform.example"


@dataclass(frozen=True)
class DemoTenant:
    slug: str
    name: str
    cost_centre: str
    highest_data_class: str


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


TENANTS = [
    DemoTenant("aurora-bank", "Aurora Bank", "AB-4100", DataClass.CONFIDENTIAL),
    DemoTenant("helios-retail", "Helios Retail", "HR-2210", DataClass.INTERNAL),
    DemoTenant("vita-clinic", "Vita Clinic", "VC-0900", DataClass.RESTRICTED),
]

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

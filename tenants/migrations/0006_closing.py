"""A tenant closes when two people agree, with an export, and then stays as it is."""

from django.conf import settings
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7
from core.names import LineField, OneLine

# A tenant becomes closed when a second person has confirmed its closing.
TAKES_TWO = """
CREATE FUNCTION tenant_closes_by_two() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_tenantclosing c
                    WHERE c.tenant_id = NEW.id AND c.confirmed_at IS NOT NULL AND c.withdrawn_at IS NULL
                      AND c.confirmed_by_id <> c.proposed_by_id)
    THEN
        RAISE EXCEPTION 'a tenant closes when a second person has confirmed it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'tenant_closes_by_two';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tenant_closes_by_two BEFORE UPDATE OF status ON tenants_tenant
    FOR EACH ROW WHEN (NEW.status = 'closed' AND OLD.status <> 'closed') EXECUTE FUNCTION tenant_closes_by_two();
"""

# A closed tenant is neither changed nor deleted.
STAYS_CLOSED = """
CREATE FUNCTION tenant_stays_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a closed tenant stays as it is: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'tenant_stays_closed';
END $$;
CREATE TRIGGER tenant_stays_closed BEFORE UPDATE OR DELETE ON tenants_tenant
    FOR EACH ROW WHEN (OLD.status = 'closed') EXECUTE FUNCTION tenant_stays_closed();
"""

# Who proposed to close which tenant, when, why and with which export stays as it is. A closing that was confirmed or
# withdrawn is not changed at all, and none is deleted.
PROPOSAL_STANDS = """
CREATE FUNCTION tenant_closing_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'four eyes: who proposed to close a tenant, and with which export, cannot be changed afterwards'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'tenant_closing_stands';
END $$;
CREATE TRIGGER tenant_closing_stands BEFORE UPDATE ON tenants_tenantclosing
    FOR EACH ROW WHEN (OLD.confirmed_at IS NOT NULL OR OLD.withdrawn_at IS NOT NULL
        OR (OLD.tenant_id, OLD.export_id, OLD.export_sha256, OLD.reason, OLD.proposed_by_id, OLD.proposed_at)
           IS DISTINCT FROM
           (NEW.tenant_id, NEW.export_id, NEW.export_sha256, NEW.reason, NEW.proposed_by_id, NEW.proposed_at))
    EXECUTE FUNCTION tenant_closing_stands();
CREATE TRIGGER tenant_closing_is_kept BEFORE DELETE ON tenants_tenantclosing
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_functions"),
        ("tenants", "0005_emergency_access"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            "TenantClosing",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                ("tenant", models.ForeignKey("tenants.tenant", models.PROTECT, verbose_name="tenant")),
                ("reason", LineField(max_length=500, verbose_name="reason")),
                ("export_id", models.UUIDField(verbose_name="export ID")),
                ("export_sha256", models.CharField(max_length=64, verbose_name="SHA-256 of the export")),
                (
                    "proposed_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name="proposed by"
                    ),
                ),
                ("proposed_at", models.DateTimeField(default=now, editable=False, verbose_name="proposed")),
                (
                    "confirmed_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        related_name="+",
                        verbose_name="confirmed by",
                    ),
                ),
                ("confirmed_at", models.DateTimeField(null=True, verbose_name="confirmed")),
                ("withdrawn_at", models.DateTimeField(null=True, verbose_name="withdrawn")),
            ],
            options={
                "verbose_name": "tenant closing",
                "verbose_name_plural": "tenant closings",
                "constraints": [
                    models.CheckConstraint(
                        name="tenant_closing_reason_is_one_line", condition=Q(OneLine(models.F("reason")))
                    ),
                    models.UniqueConstraint(
                        name="tenant_closing_one_open", fields=("tenant",), condition=Q(withdrawn_at=None)
                    ),
                    models.CheckConstraint(
                        name="tenant_closing_takes_two", condition=~Q(confirmed_by=models.F("proposed_by"))
                    ),
                    models.CheckConstraint(
                        name="tenant_closing_is_open_withdrawn_or_confirmed",
                        condition=Q(confirmed_at__isnull=True, confirmed_by__isnull=True)
                        | Q(
                            confirmed_at__isnull=False, confirmed_by__isnull=False, withdrawn_at__isnull=True
                        ),
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.RunSQL(TAKES_TWO),
        migrations.RunSQL(STAYS_CLOSED),
        migrations.RunSQL(PROPOSAL_STANDS),
    ]

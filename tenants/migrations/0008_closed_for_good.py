"""What holds for superusers and raw SQL too: a tenant closes by two people and stays closed, and rows that belong
together belong to the same tenant.

The foreign keys over (tenant, id) are added without looking at old rows, which would hold up writers; the next
migration looks.
"""

from django.db import migrations

CLOSING = """
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

CREATE FUNCTION tenant_stays_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a closed tenant stays as it is: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'tenant_stays_closed';
END $$;
CREATE TRIGGER tenant_stays_closed BEFORE UPDATE OR DELETE ON tenants_tenant
    FOR EACH ROW WHEN (OLD.status = 'closed') EXECUTE FUNCTION tenant_stays_closed();

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
CLOSING_BACKWARDS = """
DROP TRIGGER tenant_closing_is_kept ON tenants_tenantclosing;
DROP TRIGGER tenant_closing_stands ON tenants_tenantclosing;
DROP FUNCTION tenant_closing_stands();
DROP TRIGGER tenant_stays_closed ON tenants_tenant;
DROP FUNCTION tenant_stays_closed();
DROP TRIGGER tenant_closes_by_two ON tenants_tenant;
DROP FUNCTION tenant_closes_by_two();
"""

SAME_TENANT = """
ALTER TABLE tenants_apikey ADD CONSTRAINT api_key_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE tenants_limit ADD CONSTRAINT limit_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE tenants_limit ADD CONSTRAINT limit_key_of_tenant
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenants_apikey (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE tenants_projectrole ADD CONSTRAINT project_role_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE tenants_projectrole ADD CONSTRAINT project_role_membership_of_tenant
    FOREIGN KEY (tenant_id, membership_id) REFERENCES tenants_membership (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
"""
SAME_TENANT_BACKWARDS = """
ALTER TABLE tenants_projectrole DROP CONSTRAINT project_role_membership_of_tenant,
    DROP CONSTRAINT project_role_project_of_tenant;
ALTER TABLE tenants_limit DROP CONSTRAINT limit_key_of_tenant, DROP CONSTRAINT limit_project_of_tenant;
ALTER TABLE tenants_apikey DROP CONSTRAINT api_key_project_of_tenant;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0007_closing_takes_an_export_and_two")]
    operations = [
        migrations.RunSQL(CLOSING, CLOSING_BACKWARDS),
        migrations.RunSQL(SAME_TENANT, SAME_TENANT_BACKWARDS),
    ]

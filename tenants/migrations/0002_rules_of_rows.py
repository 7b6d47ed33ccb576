"""What Django cannot say of tenants' rows. Each rule holds for whoever writes, superusers and raw SQL included."""

from django.db import migrations

# What refers to a row of a tenant is of that tenant itself.
SAME_TENANT = """
ALTER TABLE tenants_apikey ADD CONSTRAINT api_key_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project(tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tenants_limit ADD CONSTRAINT limit_key_of_tenant
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenants_apikey(tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tenants_limit ADD CONSTRAINT limit_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project(tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tenants_projectrole ADD CONSTRAINT project_role_membership_of_tenant
    FOREIGN KEY (tenant_id, membership_id) REFERENCES tenants_membership(tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tenants_projectrole ADD CONSTRAINT project_role_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project(tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
"""

# A tenant closes by two people, and stays closed.
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
    FOR EACH ROW
    WHEN ((((new.status)::text = 'closed'::text) AND ((old.status)::text <> 'closed'::text)))
    EXECUTE FUNCTION tenant_closes_by_two();

CREATE FUNCTION tenant_stays_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a closed tenant stays as it is: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'tenant_stays_closed';
END $$;
CREATE TRIGGER tenant_stays_closed BEFORE DELETE OR UPDATE ON tenants_tenant
    FOR EACH ROW
    WHEN (((old.status)::text = 'closed'::text)) EXECUTE FUNCTION tenant_stays_closed();

CREATE FUNCTION tenant_closing_stands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'four eyes: who proposed to close a tenant, and with which export, cannot be changed afterwards'
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'tenant_closing_stands';
END $$;
CREATE TRIGGER tenant_closing_stands BEFORE UPDATE ON tenants_tenantclosing
    FOR EACH ROW
    WHEN (((old.confirmed_at IS NOT NULL) OR (old.withdrawn_at IS NOT NULL) OR ((((((old.tenant_id IS DISTINCT FROM new.tenant_id) OR (old.export_id IS DISTINCT FROM new.export_id)) OR ((old.export_sha256)::text IS DISTINCT FROM (new.export_sha256)::text)) OR ((old.reason)::text IS DISTINCT FROM (new.reason)::text)) OR (old.proposed_by_id IS DISTINCT FROM new.proposed_by_id)) OR (old.proposed_at IS DISTINCT FROM new.proposed_at))))
    EXECUTE FUNCTION tenant_closing_stands();
CREATE TRIGGER tenant_closing_is_kept BEFORE DELETE ON tenants_tenantclosing
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# Whoever knows a token's secret is known: its issuer, else its owner or the person responsible for the program.
TOKENS = """
CREATE FUNCTION tenants_token_has_an_issuer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT CASE WHEN u.service_of_id IS NULL THEN u.id ELSE u.responsible_id END INTO NEW.issued_by_id
      FROM accounts_user u WHERE u.id = NEW.user_id;
    RETURN NEW;
END $$;
CREATE TRIGGER token_has_an_issuer BEFORE INSERT ON tenants_personalaccesstoken
    FOR EACH ROW
    WHEN ((new.issued_by_id IS NULL)) EXECUTE FUNCTION tenants_token_has_an_issuer();

CREATE FUNCTION tenants_token_issuer_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'whose a token is, and who issued it, cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'token_issuer_is_for_good';
END $$;
CREATE TRIGGER token_issuer_is_for_good BEFORE UPDATE OF user_id, issued_by_id, digest, prefix ON tenants_personalaccesstoken
    FOR EACH ROW
    WHEN (((((old.user_id IS DISTINCT FROM new.user_id) OR (old.issued_by_id IS DISTINCT FROM new.issued_by_id)) OR ((old.digest)::text IS DISTINCT FROM (new.digest)::text)) OR ((old.prefix)::text IS DISTINCT FROM (new.prefix)::text)))
    EXECUTE FUNCTION tenants_token_issuer_is_for_good();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_functions"),
        ("tenants", "0001_initial"),
        ("accounts", "0002_initial"),
    ]

    operations = [
        migrations.RunSQL(SAME_TENANT, migrations.RunSQL.noop),
        migrations.RunSQL(CLOSING, migrations.RunSQL.noop),
        migrations.RunSQL(TOKENS, migrations.RunSQL.noop),
    ]

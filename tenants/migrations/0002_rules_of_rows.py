"""Rows that belong together belong to the same tenant, whoever writes, superusers and raw SQL included."""

from django.db import migrations

# Foreign keys over the tenant and the id: a key, a limit or a role cannot refer to a row of another tenant. They are
# checked at commit.
SAME_TENANT = """
ALTER TABLE tenants_apikey ADD CONSTRAINT api_key_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tenants_limit ADD CONSTRAINT limit_key_of_tenant
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenants_apikey (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tenants_limit ADD CONSTRAINT limit_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tenants_projectrole ADD CONSTRAINT project_role_membership_of_tenant
    FOREIGN KEY (tenant_id, membership_id) REFERENCES tenants_membership (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE tenants_projectrole ADD CONSTRAINT project_role_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [migrations.RunSQL(SAME_TENANT)]

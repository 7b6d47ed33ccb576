"""A report and a cost line belong to the tenant of their project; the next migration looks at old rows."""

from django.db import migrations

FORWARDS = """
ALTER TABLE export ADD CONSTRAINT export_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE cost_line ADD CONSTRAINT cost_line_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
"""
BACKWARDS = """
ALTER TABLE cost_line DROP CONSTRAINT cost_line_project_of_tenant;
ALTER TABLE export DROP CONSTRAINT export_project_of_tenant;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0004_final_exports"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
    ]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]

"""A request, its reviews and its grant belong to the tenant of their project; the next migration looks at old rows."""

from django.db import migrations

FORWARDS = """
ALTER TABLE catalog_accessrequest ADD CONSTRAINT access_request_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE catalog_review ADD CONSTRAINT review_request_of_tenant
    FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE catalog_reviewdecision ADD CONSTRAINT review_decision_review_of_tenant
    FOREIGN KEY (tenant_id, review_id) REFERENCES catalog_review (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE catalog_grant ADD CONSTRAINT grant_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
ALTER TABLE catalog_grant ADD CONSTRAINT grant_key_of_tenant
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenants_apikey (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED NOT VALID;
"""
BACKWARDS = """
ALTER TABLE catalog_grant DROP CONSTRAINT grant_key_of_tenant, DROP CONSTRAINT grant_project_of_tenant;
ALTER TABLE catalog_reviewdecision DROP CONSTRAINT review_decision_review_of_tenant;
ALTER TABLE catalog_review DROP CONSTRAINT review_request_of_tenant;
ALTER TABLE catalog_accessrequest DROP CONSTRAINT access_request_project_of_tenant;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0004_rows_of_one_tenant"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
    ]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]

"""Rows that belong together belong to the same tenant, whoever writes, superusers and raw SQL included."""

from django.db import migrations

# Foreign keys over the tenant and the id: a request, its delegates, reviews, decisions and grant are of the tenant of
# their project. They are checked at commit.
SAME_TENANT = """
ALTER TABLE catalog_accessrequest ADD CONSTRAINT access_request_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE catalog_requestdelegate ADD CONSTRAINT request_delegate_request_of_tenant
    FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE catalog_review ADD CONSTRAINT review_request_of_tenant
    FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE catalog_reviewdecision ADD CONSTRAINT review_decision_review_of_tenant
    FOREIGN KEY (tenant_id, review_id) REFERENCES catalog_review (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE catalog_grant ADD CONSTRAINT grant_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE catalog_grant ADD CONSTRAINT grant_key_of_tenant
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenants_apikey (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0002_access_requests")]

    operations = [migrations.RunSQL(SAME_TENANT)]

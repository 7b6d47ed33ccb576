"""Look whether the rows of before keep to one tenant as well; writers go on meanwhile."""

from django.db import migrations

FORWARDS = """
ALTER TABLE tenants_apikey VALIDATE CONSTRAINT api_key_project_of_tenant;
ALTER TABLE tenants_limit VALIDATE CONSTRAINT limit_project_of_tenant;
ALTER TABLE tenants_limit VALIDATE CONSTRAINT limit_key_of_tenant;
ALTER TABLE tenants_projectrole VALIDATE CONSTRAINT project_role_project_of_tenant;
ALTER TABLE tenants_projectrole VALIDATE CONSTRAINT project_role_membership_of_tenant;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_closed_for_good")]
    operations = [migrations.RunSQL(FORWARDS, migrations.RunSQL.noop)]

"""Look whether the requests, reviews and grants of before keep to one tenant as well; writers go on meanwhile."""

from django.db import migrations

FORWARDS = """
ALTER TABLE catalog_accessrequest VALIDATE CONSTRAINT access_request_project_of_tenant;
ALTER TABLE catalog_review VALIDATE CONSTRAINT review_request_of_tenant;
ALTER TABLE catalog_reviewdecision VALIDATE CONSTRAINT review_decision_review_of_tenant;
ALTER TABLE catalog_grant VALIDATE CONSTRAINT grant_project_of_tenant;
ALTER TABLE catalog_grant VALIDATE CONSTRAINT grant_key_of_tenant;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0005_same_tenant")]
    operations = [migrations.RunSQL(FORWARDS, migrations.RunSQL.noop)]

"""Look whether the reports and cost lines of before keep to one tenant as well; writers go on meanwhile."""

from django.db import migrations

FORWARDS = """
ALTER TABLE export VALIDATE CONSTRAINT export_project_of_tenant;
ALTER TABLE cost_line VALIDATE CONSTRAINT cost_line_project_of_tenant;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_same_tenant")]
    operations = [migrations.RunSQL(FORWARDS, migrations.RunSQL.noop)]

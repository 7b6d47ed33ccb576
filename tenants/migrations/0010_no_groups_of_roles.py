"""The groups that repeated roles, `tenant:<id>:<role>` and `project:<id>:<role>`, and their permissions go.

Memberships and project roles stay as they are, and so do all other groups: those of staff roles and of providers.
"""

from django.db import migrations

REMOVE = """
CREATE TEMPORARY TABLE repeated ON COMMIT DROP AS
SELECT id FROM auth_group
 WHERE name ~ '^(tenant|project):[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:(owner|admin|developer|finance|viewer)$';
DELETE FROM guardian_groupobjectpermission WHERE group_id IN (SELECT id FROM repeated);
DELETE FROM accounts_user_groups WHERE group_id IN (SELECT id FROM repeated);
DELETE FROM auth_group_permissions WHERE group_id IN (SELECT id FROM repeated);
DELETE FROM auth_group WHERE id IN (SELECT id FROM repeated);
DROP TABLE repeated;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0009_roles_say_what_one_may"),
        # Until then the triggers of four eyes ask the groups.
        ("catalog", "0011_members_by_their_role"),
        ("guardian", "0002_generic_permissions_index"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("accounts", "0002_of_tenants"),
    ]

    operations = [migrations.RunSQL(REMOVE)]

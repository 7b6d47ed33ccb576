"""Memberships and project roles say what a person may do, without the groups that repeated them."""

from django.db import migrations, models
from django.db.models import Q

# The one line of tenants/roles.py that the database asks about: who may make tokens of a tenant's service accounts, by
# `manage_tokens` or `manage_service_accounts`. A test compares all roles.
MAKES_TOKENS = """
CREATE FUNCTION tenants_role_makes_tokens(role text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT role IN ('owner', 'admin')
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_keys_to_claim")]

    operations = [
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.CheckConstraint(
                name="membership_role_is_known",
                condition=Q(role__in=["owner", "admin", "developer", "finance", "viewer"]),
            ),
        ),
        migrations.RemoveConstraint(model_name="projectrole", name="project_role_is_not_owner"),
        migrations.AddConstraint(
            model_name="projectrole",
            constraint=models.CheckConstraint(
                name="project_role_is_known",
                condition=Q(role__in=["admin", "developer", "finance", "viewer"]),
            ),
        ),
        migrations.RunSQL(MAKES_TOKENS),
    ]

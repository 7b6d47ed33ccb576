"""Bring stored names into the form that new ones must have, and hold them to it: one line that can be seen.

A tenant whose name is, or looks like, that of an older one gets its slug behind it. A directory's group that is
renamed never gets the name of another: rules know groups by their names.
"""

from django.db import migrations, models
from django.db.models import F, Q

import core.names
from core.look_alikes import skeleton
from core.names import OneLine, clean_name

NAMES = {
    "Tenant": ["name", "cost_centre", "suspended_because"],
    "Project": ["name", "cost_centre"],
    "TenantClosing": ["reason"],
    "User": ["name"],
    "PersonalAccessToken": ["name", "suspended_because"],
    "ApiKey": ["name", "suspended_because"],
    "GroupRule": ["group"],
    "DirectoryGroup": ["display_name"],
    "DirectoryPerson": ["given_name", "family_name", "formatted_name", "display_name"],
    "ScimToken": ["name"],
    "EmergencyAccess": ["reason", "remark"],
}
MAY_BE_EMPTY = {"cost_centre", "suspended_because", "given_name", "family_name", "formatted_name", "remark"}
COMPARED = {("GroupRule", "group"), ("DirectoryGroup", "display_name")}
GUARDS = {"tenants_tenant": "tenant_stays_closed", "tenants_tenantclosing": "tenant_closing_stands"}


def clean(apps, schema_editor):
    for table, trigger in GUARDS.items():
        schema_editor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    for name, fields in NAMES.items():
        model = apps.get_model("tenants", name)
        for field in fields:
            longest = model._meta.get_field(field).max_length
            rows = model._base_manager.filter(~Q(OneLine(F(field))))
            for pk, said in list(rows.values_list("pk", field)):
                read = clean_name(said, longest)
                if (name, field) in COMPARED:
                    read = f"{read[: longest - 24]} (renamed {str(pk)[-12:]})".strip()
                elif not read and field not in MAY_BE_EMPTY and name not in ("User", "DirectoryPerson"):
                    read = f"Unnamed {str(pk)[-12:]}"
                model._base_manager.filter(pk=pk).update(**{field: read})
    _keep_tenants_apart(apps.get_model("tenants", "Tenant"))
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no table with pending checks can be altered
    for table, trigger in GUARDS.items():
        schema_editor.execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


def _keep_tenants_apart(tenant):
    taken = set()
    for pk, name, slug in list(tenant._base_manager.order_by("pk").values_list("pk", "name", "slug")):
        shown = name
        for behind in ("", f" ({slug})", f" ({str(pk)[-12:]})"):
            shown = f"{name[: 120 - len(behind)].rstrip()}{behind}"
            if (of_name := skeleton(shown)[:600]) not in taken:
                break
        taken.add(of_name)
        tenant._base_manager.filter(pk=pk).update(name=shown, name_skeleton=of_name)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("tenants", "0025_what_changed_with_each_revision"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="name_skeleton",
            field=core.names.SkeletonField(editable=False, max_length=600, null=True, unique=True),
        ),
        migrations.RunPython(clean, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="apikey",
            name="name",
            field=core.names.NameField(max_length=80),
        ),
        migrations.AlterField(
            model_name="apikey",
            name="suspended_because",
            field=core.names.LineField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="directoryperson",
            name="display_name",
            field=core.names.NameField(blank=True, max_length=150),
        ),
        migrations.AlterField(
            model_name="directoryperson",
            name="family_name",
            field=core.names.NameField(blank=True, max_length=150),
        ),
        migrations.AlterField(
            model_name="directoryperson",
            name="formatted_name",
            field=core.names.NameField(blank=True, max_length=150),
        ),
        migrations.AlterField(
            model_name="directoryperson",
            name="given_name",
            field=core.names.NameField(blank=True, max_length=150),
        ),
        migrations.AlterField(
            model_name="emergencyaccess",
            name="reason",
            field=core.names.LineField(max_length=500),
        ),
        migrations.AlterField(
            model_name="emergencyaccess",
            name="remark",
            field=core.names.LineField(blank=True, max_length=500),
        ),
        migrations.AlterField(
            model_name="grouprule",
            name="group",
            field=core.names.NameField(max_length=200),
        ),
        migrations.AlterField(
            model_name="personalaccesstoken",
            name="name",
            field=core.names.NameField(max_length=80),
        ),
        migrations.AlterField(
            model_name="personalaccesstoken",
            name="suspended_because",
            field=core.names.LineField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="project",
            name="cost_centre",
            field=core.names.NameField(blank=True, max_length=60),
        ),
        migrations.AlterField(
            model_name="project",
            name="name",
            field=core.names.NameField(max_length=120),
        ),
        migrations.AlterField(
            model_name="scimtoken",
            name="name",
            field=core.names.NameField(max_length=80),
        ),
        migrations.AlterField(
            model_name="tenant",
            name="cost_centre",
            field=core.names.NameField(blank=True, max_length=60),
        ),
        migrations.AlterField(
            model_name="tenant",
            name="name",
            field=core.names.NameField(max_length=120),
        ),
        migrations.AlterField(
            model_name="tenant",
            name="suspended_because",
            field=core.names.LineField(blank=True, editable=False, max_length=500),
        ),
        migrations.AlterField(
            model_name="tenantclosing",
            name="reason",
            field=core.names.LineField(max_length=500),
        ),
        migrations.AlterField(
            model_name="user",
            name="name",
            field=core.names.NameField(blank=True, max_length=150, verbose_name="name"),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("name"))), name="api_key_name_is_one_line"
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("suspended_because"))),
                name="api_key_suspended_because_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="directorygroup",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("display_name"))),
                name="directory_group_display_name_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="directoryperson",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("given_name"))),
                name="directory_person_given_name_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="directoryperson",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("family_name"))),
                name="directory_person_family_name_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="directoryperson",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("formatted_name"))),
                name="directory_person_formatted_name_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="directoryperson",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("display_name"))),
                name="directory_person_display_name_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="emergencyaccess",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("reason"))),
                name="emergency_access_reason_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="emergencyaccess",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("remark"))),
                name="emergency_access_remark_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="grouprule",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("group"))),
                name="group_rule_group_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="personalaccesstoken",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("name"))),
                name="personal_access_token_name_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="personalaccesstoken",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("suspended_because"))),
                name="personal_access_token_suspended_because_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("name"))), name="project_name_is_one_line"
            ),
        ),
        migrations.AddConstraint(
            model_name="project",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("cost_centre"))),
                name="project_cost_centre_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="scimtoken",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("name"))),
                name="scim_token_name_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("name"))), name="tenant_name_is_one_line"
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("cost_centre"))),
                name="tenant_cost_centre_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("suspended_because"))),
                name="tenant_suspended_because_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantclosing",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("reason"))),
                name="tenant_closing_reason_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("name"))), name="user_name_is_one_line"
            ),
        ),
    ]

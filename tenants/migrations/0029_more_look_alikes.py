"""Compute the skeletons of tenants' names again: more letters count as look-alikes now.

Where two names become alike by it, the younger tenant's gets its slug behind it, as in 0026.
"""

from importlib import import_module

from django.db import migrations

names = import_module("tenants.migrations.0026_names_are_one_line")


def compute_again(apps, schema_editor):
    schema_editor.execute("ALTER TABLE tenants_tenant DISABLE TRIGGER tenant_stays_closed")
    schema_editor.execute("UPDATE tenants_tenant SET name_skeleton = NULL")
    names._keep_tenants_apart(apps.get_model("tenants", "Tenant"))
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no table with pending checks can be altered
    schema_editor.execute("ALTER TABLE tenants_tenant ENABLE TRIGGER tenant_stays_closed")


class Migration(migrations.Migration):
    dependencies = [("tenants", "0028_search_by_beginnings")]

    operations = [migrations.RunPython(compute_again, migrations.RunPython.noop)]

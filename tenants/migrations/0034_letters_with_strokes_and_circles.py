"""Compute the skeletons of tenants' names again: strokes, hooks, circles and digits of other scripts are read.

Where two names become alike by it, the younger tenant's gets its slug behind it, as in 0026.
"""

from importlib import import_module

from django.db import migrations

compute_again = import_module("tenants.migrations.0029_more_look_alikes").compute_again


class Migration(migrations.Migration):
    dependencies = [("tenants", "0033_each_tenant_that_staff_read")]

    operations = [migrations.RunPython(compute_again, migrations.RunPython.noop)]

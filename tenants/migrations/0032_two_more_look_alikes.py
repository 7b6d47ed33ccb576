"""Compute the skeletons of tenants' names again: Greek san and Komi sje count as look-alikes.

Where two names become alike by it, the younger tenant's gets its slug behind it, as in 0026. Names with letters that
new ones may not have stay as they are.
"""

from importlib import import_module

from django.db import migrations

compute_again = import_module("tenants.migrations.0029_more_look_alikes").compute_again


class Migration(migrations.Migration):
    dependencies = [("tenants", "0031_programs_stay_programs")]

    operations = [migrations.RunPython(compute_again, migrations.RunPython.noop)]

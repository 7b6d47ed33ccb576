"""Bring stored addresses into the form in which they are read from now on, and hold them to it.

A person whose address is none any more, or is another person's in its one form, keeps their account under
`<id>@former.invalid` and is named on standard output: an operator decides whose mailbox it is.
"""

import sys

import core.addresses
from django.db import migrations, models
from django.utils.timezone import now

from core.addresses import address_or_none


def bring_into_form(apps, schema_editor):
    users = apps.get_model("tenants", "User")._base_manager
    for pk, email, tenant in users.values_list("pk", "email", "service_of").iterator():
        form = email.lower() if tenant else address_or_none(email)
        if form == email:
            continue
        if form is None or users.filter(email=form).exists():
            form = f"{pk}@former.invalid"
            sys.stdout.write(
                f"\n  The address of user {pk} cannot be read as theirs alone. It is {form} now."
            )
        users.filter(pk=pk).update(email=form)
    invitations = apps.get_model("tenants", "Invitation")._base_manager
    for pk, email, tenant in invitations.order_by("pk").values_list("pk", "email", "tenant"):
        form = address_or_none(email)
        if form == email:
            continue
        open_ones = invitations.filter(accepted_at=None, withdrawn_at=None)
        if form is None or open_ones.filter(tenant=tenant, email=form).exists():
            open_ones.filter(pk=pk).update(withdrawn_at=now())
        invitations.filter(pk=pk).update(email=form or f"{pk}@former.invalid")
    schema_editor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # no table with pending checks can be altered


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("tenants", "0022_audit_time_is_the_databases"),
    ]

    operations = [
        migrations.RunPython(bring_into_form, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="invitation",
            name="email",
            field=core.addresses.AddressField(max_length=254),
        ),
        migrations.AlterField(
            model_name="user",
            name="email",
            field=core.addresses.AddressField(max_length=254, unique=True, verbose_name="e-mail address"),
        ),
        migrations.AddConstraint(
            model_name="invitation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("email", ""), core.addresses.IsAddress(models.F("email")), _connector="OR"
                ),
                name="invitation_email_is_address",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("email", ""), core.addresses.IsAddress(models.F("email")), _connector="OR"
                ),
                name="user_email_is_address",
            ),
        ),
    ]

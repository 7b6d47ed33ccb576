"""Mails that an action promised and no task has sent yet move to the outbox, whose tasks send them from now on."""

from django.db import migrations
from django.utils.timezone import now

GONE = ["send-invitations-left-alone", "notify-remaining-owners"]


def fill_the_outbox(apps, schema_editor):
    message = apps.get_model("accounts", "OutboxMessage")
    invitations = apps.get_model("tenants", "Invitation")._base_manager.filter(
        accepted_at=None, withdrawn_at=None, sent_at=None, mail_problem="", expires_at__gt=now()
    )
    promised = [
        message(
            event="invitation",
            channel="mail",
            address=invitation.email,
            of_tenant_id=invitation.tenant_id,
            subject_id=invitation.pk,
            occasion=invitation.expires_at.isoformat(),
        )
        for invitation in invitations
    ]
    owners = apps.get_model("tenants", "Membership")._base_manager.filter(role="owner", user__is_active=True)
    accesses = apps.get_model("tenants", "EmergencyAccess")._base_manager.filter(mailed_at=None)
    promised += [
        message(
            event="emergency_access.opened",
            channel="mail",
            user_id=owner.user_id,
            of_tenant_id=access.tenant_id,
            subject_id=access.pk,
        )
        for access in accesses
        for owner in owners.filter(tenant_id=access.tenant_id)
    ]
    message._base_manager.bulk_create(promised, ignore_conflicts=True)
    # Their tasks are gone; beat would go on asking for them.
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=GONE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_outbox"),
        ("tenants", "0010_no_groups_of_roles"),
        ("django_celery_beat", "0001_initial"),
    ]

    operations = [migrations.RunPython(fill_the_outbox, migrations.RunPython.noop)]

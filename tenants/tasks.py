"""Scheduled tasks of tenants. A message is a hint and the row is the truth, so any task may run twice."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils.timezone import now

from accounts.mail import MailServerAwayError
from core.scope import platform_scope, tenant_scope
from tenants import emergency_mail, invitation_mail
from tenants.models import EmergencyAccess, Invitation

sends_mail = shared_task(
    autoretry_for=[MailServerAwayError],
    max_retries=8,
    retry_backoff=5,  # seconds; doubles
    retry_backoff_max=600,
    soft_time_limit=60,
)


@sends_mail
def send_invitation(tenant_id: str, invitation_id: str) -> None:
    with tenant_scope(tenant_id):
        invitation_mail.send_invitation(invitation_id)


@shared_task
def send_invitations_left_alone() -> None:
    """Enqueue invitations whose message was lost, or whose mail server was unreachable for long."""
    with platform_scope("sweep of unsent invitations"):
        unsent = Invitation.objects.across_tenants().acceptable().filter(sent_at=None)
        left_alone = list(
            unsent.filter(created_at__lt=now() - timedelta(minutes=2)).values_list("tenant_id", "pk")[:500]
        )
    for tenant_id, pk in left_alone:
        send_invitation.delay(str(tenant_id), str(pk))


@sends_mail
def notify_owners_of_emergency_access(tenant_id: str, access_id: str) -> None:
    with tenant_scope(tenant_id):
        emergency_mail.notify_owners(access_id)


@shared_task
def notify_remaining_owners() -> None:
    """Enqueue mails about emergency access whose message was lost, or whose mail server was unreachable for long."""
    with platform_scope("sweep of unsent mails about emergency access"):
        unsent = EmergencyAccess.objects.across_tenants().filter(mailed_at=None)
        left_alone = list(
            unsent.filter(opened_at__lt=now() - timedelta(minutes=2)).values_list("tenant_id", "pk")[:500]
        )
    for tenant_id, pk in left_alone:
        notify_owners_of_emergency_access.delay(str(tenant_id), str(pk))


SCHEDULE = {
    "send-invitations-left-alone": {"task": "tenants.tasks.send_invitations_left_alone", "schedule": 300.0},
    "notify-remaining-owners": {"task": "tenants.tasks.notify_remaining_owners", "schedule": 300.0},
}

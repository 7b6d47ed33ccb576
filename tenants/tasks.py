"""What tenants do by the clock. A message is a hint, the row is the truth: any task may run twice."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from celery.schedules import crontab
from django.utils.timezone import now

from core.scope import platform_scope, tenant_scope
from tenants import emergency_mail, idempotency, invitation_mail, sessions
from tenants.actions import due_rules
from tenants.mail import MailServerAwayError
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
    """Enqueue invitations whose message was lost, or whose mail server was away for long."""
    with platform_scope("sweep of unsent invitations"):
        unsent = Invitation.objects.across_tenants().acceptable().filter(sent_at=None)
        left_alone = list(
            unsent.filter(created_at__lt=now() - timedelta(minutes=2)).values_list("tenant_id", "pk")[:500]
        )
    for tenant_id, pk in left_alone:
        send_invitation.delay(str(tenant_id), str(pk))


@sends_mail
def tell_owners_of_emergency_access(tenant_id: str, access_id: str) -> None:
    with tenant_scope(tenant_id):
        emergency_mail.tell_owners(access_id)


@shared_task
def tell_owners_left_untold() -> None:
    """Enqueue mails about emergency access whose message was lost, or whose mail server was away for long."""
    with platform_scope("sweep of unsent mails about emergency access"):
        unsent = EmergencyAccess.objects.across_tenants().filter(mailed_at=None)
        left_alone = list(
            unsent.filter(opened_at__lt=now() - timedelta(minutes=2)).values_list("tenant_id", "pk")[:500]
        )
    for tenant_id, pk in left_alone:
        tell_owners_of_emergency_access.delay(str(tenant_id), str(pk))


@shared_task(soft_time_limit=300)
def apply_due_group_rules() -> None:
    """Compute the roles of people whose groups changed, a batch; while there are more, another follows at once.

    The clock repairs what a lost message left.
    """
    if due_rules.apply_due_rules():
        apply_due_group_rules.delay()


@shared_task(soft_time_limit=120)
def clear_expired_sessions() -> None:
    """Delete the rows of sessions that are over."""
    sessions.clear_expired_sessions()


@shared_task(soft_time_limit=120)
def clear_stored_answers() -> None:
    """Delete the answers to idempotent requests that nobody will repeat any more."""
    idempotency.clear_stored_answers()


SCHEDULE = {
    "apply-due-group-rules": {"task": "tenants.tasks.apply_due_group_rules", "schedule": 60.0},
    "send-invitations-left-alone": {"task": "tenants.tasks.send_invitations_left_alone", "schedule": 300.0},
    "tell-owners-left-untold": {"task": "tenants.tasks.tell_owners_left_untold", "schedule": 300.0},
    "clear-expired-sessions": {
        "task": "tenants.tasks.clear_expired_sessions",
        "schedule": crontab(minute="17"),
    },
    "clear-stored-answers": {
        "task": "tenants.tasks.clear_stored_answers",
        "schedule": crontab(minute="37"),
    },
}

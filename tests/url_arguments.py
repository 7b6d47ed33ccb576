"""How the isolation walk fills the addresses of routes: one row per model, in the lab.

A new route whose model or path parameter is not known here fails the walk with a message that points to this file.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.apps import apps
from django.contrib.auth.models import Group
from django.utils.timezone import now

import audit
from accounts.models import OutboxMessage, User
from audit.models import AuditEntry, StaffRead
from billing.ingest import record_usage
from billing.models import (
    BilledModel,
    BillingPeriod,
    CostLine,
    KeyMonthsSummed,
    Price,
    QuarantinedEvent,
    RollupDay,
    RollupDelta,
    RollupEstimated,
    RollupHour,
    RollupKeyMonth,
    RollupMonth,
    RollupTenantDay,
    RollupTenantMonth,
    Sku,
    TenantQuality,
    UnpostedDay,
    UsageEvent,
    UsageImport,
    UsageKind,
)
from catalog.models import (
    Attestation,
    AttestationCampaign,
    CatalogImport,
    Grant,
    ImportEntry,
    PlannedChange,
    Question,
    QuestionAnswers,
    QuestionSet,
    RequestComment,
    RequestDelegate,
    Review,
    ReviewDecision,
    ReviewDelegation,
    ReviewRecusal,
    ReviewScope,
    ReviewTeam,
    Rule,
    RuleEvaluation,
    RuleSet,
    Track,
    WorkingCalendar,
)
from core.ids import uuid7
from deployments.routes import route_of
from directory.models import DirectoryGroup, FederatedIdentity, GroupMapping, ScimToken
from exports.models import Export
from gateway.models import Gateway, RefusedCalls
from gateway.signing import new_signing_key
from tenants.actions import issue_personal_access_token
from tenants.models import (
    ConfigChange,
    EmergencyAccess,
    Limit,
    Membership,
    ProjectRole,
    Tenant,
    TenantClosing,
    Webhook,
    WebhookDelivery,
)
from tenants.revision import raise_revision
from tests.factories import (
    AccessRequestFactory,
    ApiKeyFactory,
    CatalogModelFactory,
    ClusterFactory,
    DeploymentFactory,
    ModelVersionFactory,
    ProviderFactory,
    ProviderModelFactory,
    ReviewFactory,
    credential_of,
    member_of,
    staff,
)
from tests.usage_records import usage_record


class Lab:
    """One row of everything in one tenant; `row(label)` makes and remembers it."""

    def __init__(self, tenant, project, person):
        self.tenant, self.project, self.person = tenant, project, person
        self._rows = {"tenants.tenant": tenant, "tenants.project": project, "accounts.user": person}

    def row(self, label):
        if label not in self._rows:
            if label not in ROWS:
                raise LookupError(
                    f"The isolation walk has no row of {label}. Add one to ROWS in tests/url_arguments.py."
                )
            self._rows[label] = ROWS[label](self)
        return self._rows[label]

    def fill_everything(self):
        """Make a row of every known model, so that lists have something to leak."""
        for label in ROWS:
            self.row(label)
        member_of(self.tenant, "developer", name="lab-marker robot", service_of=self.tenant)

    def rows(self):
        """Every row that was made."""
        return list(self._rows.values())

    def markers(self):
        """Texts that only the lab's rows hold: if one shows up elsewhere, isolation has a hole."""
        owned = [
            row
            for label, row in self._rows.items()
            # A rule may be for one tenant, and this one is for all.
            if label in TENANT_OWNED and getattr(row, "tenant_id", self.tenant.pk) is not None
        ]
        people = User.objects.filter(memberships__tenant=self.tenant).values_list("email", flat=True)
        return {str(row.pk) for row in owned} | {"lab-marker", *people}


def _campaign():
    return AttestationCampaign.objects.create(
        name="Autumn", closes_at=now() + timedelta(days=12), created_by=staff("operator")
    )


def _attestation(lab):
    """Of an open campaign, as tenants see them."""
    campaign = _campaign()
    row = Attestation.objects.create(tenant=lab.tenant, campaign=campaign, grant=lab.row("catalog.grant"))
    AttestationCampaign.objects.filter(pk=campaign.pk).update(state="open", opened_at=now())
    return row


def _grant(lab):
    """An approved request with its grant and key, made as the database wants it: reviews first."""
    access_request = AccessRequestFactory(
        tenant=lab.tenant,
        project=lab.project,
        model=lab.row("catalog.catalogmodel"),
        requested_by=lab.person,
        purpose="lab-marker: letters",
    )
    review = ReviewFactory(tenant=lab.tenant, access_request=access_request)
    ReviewDecision.objects.create(
        tenant=lab.tenant, review=review, reviewer=staff("security-reviewer"), verdict="approve"
    )
    Review.objects.across_tenants().filter(pk=review.pk).update(state="approved", decided_at=now())
    access_request.move_to("approved")
    access_request.decided_at = now()
    access_request.save()
    item = access_request.items.get()
    item.key = ApiKeyFactory.claimable(tenant=lab.tenant, project=lab.project, name="lab-marker granted")
    item.save()
    return Grant.objects.create(
        tenant=lab.tenant,
        project=lab.project,
        model=item.model,
        item=item,
        valid_until=now() + timedelta(days=1),
    )


def _question_answers(lab):
    found = QuestionSet.objects.create(track_id="cost", version=1, note="Why?")
    Question.objects.create(question_set=found, code="why", text="Why?")
    found.state, found.in_force_at = "in_force", now()
    found.save()
    return QuestionAnswers.objects.create(
        tenant=lab.tenant,
        access_request=lab.row("catalog.accessrequest"),
        question_set=found,
        answers={"why": "lab-marker: because"},
    )


def _request_delegate(lab):
    """Who could act for a service account that asked: the database writes them down."""
    account = member_of(
        lab.tenant, "developer", name="lab-marker asker", service_of=lab.tenant, responsible=lab.person
    )
    asked = AccessRequestFactory(
        tenant=lab.tenant, project=lab.project, requested_by=account, purpose="lab-marker: a program asks"
    )
    return RequestDelegate.objects.in_tenant(lab.tenant).get(access_request=asked, person=lab.person)


def _usage(lab):
    """A call of today, in the ledger and both rollups; its model is one that nobody priced."""
    key = ApiKeyFactory(tenant=lab.tenant, project=lab.project, name="lab-marker used")
    call = usage_record(event_id=uuid7(), key_id=key.pk, model="lab-marker-model", occurred_at=now(), input=7)
    record_usage("gateway", [call])
    return UsageEvent.objects.in_tenant(lab.tenant).get()


def _estimated_usage(lab):
    """A call whose tokens were estimated; there is no row for those that are exact."""
    key_id = lab.row("billing.usageevent").key_id
    call = {"event_id": uuid7(), "model": "lab-marker-model", "occurred_at": now(), "input": 7}
    record_usage("gateway", [usage_record(key_id=key_id, is_exact=False, **call)])
    return RollupEstimated.objects.in_tenant(lab.tenant).get()


def _key_month(lab):
    """Written here, not summed: folding would take the deltas, which are rows as well."""
    used = lab.row("billing.usageevent")
    return RollupKeyMonth.objects.create(
        tenant=lab.tenant, project=used.project, key=used.key, model=used.model, month=date(2026, 1, 1),
        period=date(2026, 1, 1), is_unpriced=True, calls=7,
    )  # fmt: skip


def _cost_line(lab):
    price = lab.row("billing.price")
    day = date(2026, 1, 2)
    return CostLine.objects.create(
        tenant=lab.tenant, project=lab.project, sku=price.sku, price=price, period=day.replace(day=1), day=day,
        quantity=7, per_million=price.per_million, amount=Decimal("0.000007"), source_ref="lab-marker line",
    )  # fmt: skip


def _invitation(lab):
    from tenants.actions import invite
    from tests.factories import member_of

    invitation, lab.link = invite(
        lab.tenant,
        "lab-marker@example.org",
        "viewer",
        by=member_of(lab.tenant, "owner", name="lab-marker owner"),
    )
    return invitation


def _message(lab):
    """Failed, so that it can be sent again."""
    return OutboxMessage.objects.create(
        event="emergency_access.opened",
        channel="mail",
        user=lab.person,
        of_tenant=lab.tenant,
        subject_id=uuid7(),
        state="failed",
        settled_at=now(),
    )


def _audit_line(lab):
    line = audit.record("lab.marked", actor=lab.person, subject=lab.project, note="lab-marker")
    return AuditEntry.objects.across_tenants().get(pk=line.pk)


def waiting_entry(**said):
    run = CatalogImport.objects.create(source="t", file_name="t", digest="", state="open")
    after = {
        "name": "aya", "provider": "p", "region": "", "prices": {"input": "1.00000000"}, "facts": {"mode": "chat"},
        "source_url": "", "deprecation_date": None, "digest": "1",
    }  # fmt: skip
    return ImportEntry.objects.create(
        run=run,
        place=0,
        source="t",
        key="p/aya",
        model_name="aya",
        kind="new",
        after=after,
        digest="1",
        **said,
    )


ROWS = {
    "catalog.catalogmodel": lambda lab: CatalogModelFactory(name="shared-1", title="Shared"),
    "catalog.modelversion": lambda lab: ModelVersionFactory(
        model=lab.row("catalog.catalogmodel"),
        version="lab-marker-1",
        visibility="tenants",
        only_for=[lab.tenant.slug],
    ),
    "catalog.accessrequest": lambda lab: AccessRequestFactory(
        tenant=lab.tenant, project=lab.project, requested_by=lab.person, purpose="lab-marker: replies"
    ),
    "catalog.review": lambda lab: ReviewFactory(
        tenant=lab.tenant, access_request=lab.row("catalog.accessrequest")
    ),
    "catalog.requestitem": lambda lab: lab.row("catalog.accessrequest").items.get(),
    "catalog.grant": _grant,
    "catalog.attestationcampaign": lambda lab: _campaign(),
    "catalog.attestation": _attestation,
    "catalog.reviewdecision": lambda lab: (
        lab.row("catalog.grant") and ReviewDecision.objects.in_tenant(lab.tenant).first()
    ),
    "catalog.requestdelegate": _request_delegate,
    "catalog.requestcomment": lambda lab: RequestComment.objects.create(
        tenant=lab.tenant,
        access_request=lab.row("catalog.accessrequest"),
        author=lab.person,
        capacity="member",
        text="lab-marker: a question",
    ),
    "catalog.questionset": lambda lab: QuestionSet.objects.get(track_id="compliance"),
    "catalog.question": lambda lab: Question.objects.filter(code="eu_role").get(),
    "catalog.questionanswers": _question_answers,
    "catalog.reviewrecusal": lambda lab: ReviewRecusal.objects.create(
        tenant=lab.tenant,
        access_request=lab.row("catalog.accessrequest"),
        person=staff("security-reviewer"),
        reason="lab-marker: a sister",
    ),
    "catalog.ruleevaluation": lambda lab: RuleEvaluation.objects.create(
        tenant=lab.tenant,
        access_request=lab.row("catalog.accessrequest"),
        rule_set=lab.row("catalog.ruleset"),
        occasion="raised",
        inputs={},
        answer="reviews",
        result={"reviews": [], "rejections": [], "automatic_by": []},
    ),
    "catalog.ruleset": lambda lab: RuleSet.objects.get(state="in_force"),
    "catalog.rule": lambda lab: Rule.objects.get(rule_set__state="in_force", position=1),
    "catalog.track": lambda lab: Track.objects.get(code="security"),
    "catalog.workingcalendar": lambda lab: WorkingCalendar.objects.get(),
    "catalog.reviewscope": lambda lab: ReviewScope.objects.create(
        track_id="security", tenant=lab.tenant, model=lab.row("catalog.catalogmodel")
    ),
    "catalog.reviewdelegation": lambda lab: ReviewDelegation.objects.create(
        track_id="security",
        giver=staff("security-reviewer"),
        receiver=staff("security-reviewer"),
        begins_at=now(),
        ends_at=now() + timedelta(days=1),
    ),
    "catalog.reviewteam": lambda lab: ReviewTeam.objects.create(
        name="Payments security", group=Group.objects.create(name="review-team:1")
    ),
    "catalog.plannedchange": lambda lab: PlannedChange.objects.create(
        kind="retire", takes_effect_at=now() + timedelta(days=1)
    ),
    "catalog.catalogimport": lambda lab: CatalogImport.objects.create(source="t", file_name="t", digest=""),
    "catalog.importentry": lambda lab: waiting_entry(),
    "tenants.apikey": lambda lab: ApiKeyFactory.claimable(
        tenant=lab.tenant, project=lab.project, name="lab-marker key", created_for=lab.person
    ),
    "tenants.limit": lambda lab: Limit.objects.create(
        tenant=lab.tenant, project=lab.project, kind="tokens_per_day", value=Decimal(9)
    ),
    "tenants.personalaccesstoken": lambda lab: issue_personal_access_token(
        lab.person, name="lab-marker token", life=timedelta(days=1), tenant=lab.tenant
    )[0],
    "tenants.webhook": lambda lab: Webhook.objects.create(
        tenant=lab.tenant,
        name="lab-marker hook",
        url="https://hooks.example.com/",
        events=["grant.given"],
        secret=b"-",
    ),
    "tenants.webhookdelivery": lambda lab: WebhookDelivery.objects.create(
        tenant=lab.tenant,
        webhook=lab.row("tenants.webhook"),
        event="grant.given",
        subject_id="lab-marker subject",
    ),
    "tenants.tenantclosing": lambda lab: TenantClosing.objects.create(
        tenant=lab.tenant,
        reason="lab-marker: over",
        export_id=uuid7(),
        export_sha256="",
        proposed_by=lab.person,
    ),
    "tenants.emergencyaccess": lambda lab: EmergencyAccess.objects.create(
        tenant=lab.tenant,
        opened_by=staff("operator"),
        reason="lab-marker: their owner is away",
        expires_at=now() + timedelta(minutes=15),
        session_digest="0" * 64,
    ),
    "directory.groupmapping": lambda lab: GroupMapping.objects.create(
        group="lab-marker group", tenant=lab.tenant, role="viewer"
    ),
    "directory.federatedidentity": lambda lab: FederatedIdentity.objects.create(
        user=lab.person, issuer="https://id.example", subject="lab-marker subject"
    ),
    "directory.directorygroup": lambda lab: DirectoryGroup.objects.create(display_name="Engineers"),
    "directory.scimtoken": lambda lab: ScimToken.objects.create(
        name="Directory", prefix="qms_", digest="0", expires_at=now() + timedelta(days=1)
    ),
    "accounts.staffroleassignment": lambda lab: staff("auditor").staff_role_assignments.get(),
    "accounts.outboxmessage": _message,
    "tenants.membership": lambda lab: Membership.objects.in_tenant(lab.tenant).first(),
    "tenants.invitation": _invitation,
    "tenants.projectrole": lambda lab: ProjectRole.objects.create(
        tenant=lab.tenant, membership=lab.row("tenants.membership"), project=lab.project, role="viewer"
    ),
    "audit.auditentry": _audit_line,
    "audit.staffread": lambda lab: StaffRead.objects.create(
        tenant=lab.tenant,
        person=staff("controller"),
        hour=datetime(2026, 9, 1, 8, tzinfo=UTC),
        kinds=["costs"],
    ),
    "billing.billedmodel": lambda lab: BilledModel.objects.create(name="billed-1"),
    "billing.usagekind": lambda lab: UsageKind.objects.get(name="input"),
    "billing.sku": lambda lab: Sku.objects.create(model=lab.row("billing.billedmodel"), kind="input"),
    "billing.price": lambda lab: Price.objects.create(
        sku=lab.row("billing.sku"),
        valid=(datetime(2026, 1, 1, tzinfo=UTC), None),
        per_million=Decimal(1),
        currency="USD",
        reason="test",
    ),
    "billing.billingperiod": lambda lab: BillingPeriod.objects.create(
        tenant=lab.tenant, month=date(2026, 1, 1)
    ),
    "billing.usageevent": _usage,
    "billing.rollupday": lambda lab: (
        lab.row("billing.usageevent") and RollupDay.objects.in_tenant(lab.tenant).first()
    ),
    "billing.rollupestimated": _estimated_usage,
    "billing.tenantquality": lambda lab: TenantQuality.objects.create(
        tenant=lab.tenant, model=lab.row("billing.billedmodel"), day=date(2026, 1, 1), calls=1, failed=0
    ),
    "billing.unpostedday": lambda lab: (
        lab.row("billing.usageevent") and UnpostedDay.objects.in_tenant(lab.tenant).first()
    ),
    "billing.rollupdelta": lambda lab: (
        lab.row("billing.usageevent") and RollupDelta.objects.in_tenant(lab.tenant).first()
    ),
    "billing.rolluphour": lambda lab: (
        lab.row("billing.usageevent") and RollupHour.objects.in_tenant(lab.tenant).first()
    ),
    "billing.rolluptenantday": lambda lab: (
        lab.row("billing.usageevent") and RollupTenantDay.objects.in_tenant(lab.tenant).first()
    ),
    "billing.rolluptenantmonth": lambda lab: (
        lab.row("billing.usageevent") and RollupTenantMonth.objects.in_tenant(lab.tenant).first()
    ),
    "billing.rollupmonth": lambda lab: (
        lab.row("billing.usageevent") and RollupMonth.objects.in_tenant(lab.tenant).first()
    ),
    "billing.rollupkeymonth": _key_month,
    "billing.keymonthssummed": lambda lab: KeyMonthsSummed.objects.create(
        tenant=lab.tenant, through=date(2026, 1, 31)
    ),
    "billing.costline": _cost_line,
    "exports.export": lambda lab: Export.objects.create(
        tenant=lab.tenant,
        kind="costs",
        start_day=date(2026, 1, 1),
        end_day=date(2026, 1, 31),
        project=lab.project,
        requested_by=lab.person,
    ),
    "billing.quarantinedevent": lambda lab: QuarantinedEvent.objects.create(
        tenant=lab.tenant, source="t", event_id="lab-marker", reason="malformed", payload={}, payload_sha=b"t"
    ),
    "billing.usageimport": lambda lab: UsageImport.objects.create(
        tenant=lab.tenant, source="t", file_name="t", file_sha256="", assignment={}
    ),
    "gateway.gateway": lambda lab: Gateway.objects.create(name="gw", prefix="qmg_", digest="0"),
    "gateway.refusedcalls": lambda lab: RefusedCalls.objects.create(
        id=uuid7(),
        tenant=lab.tenant,
        project_id=lab.row("tenants.apikey").project_id,
        key_id=lab.row("tenants.apikey").pk,
        gateway_name="gw",
        minute=now(),
        model="lab-marker",
        status=429,
        code="rate_limit_exceeded",
        count=1,
    ),
    "tenants.configchange": lambda lab: ConfigChange.objects.get(revision=raise_revision(routing=True)),
    "gateway.signingkey": lambda lab: new_signing_key(),
    "deployments.route": lambda lab: route_of(lab.row("catalog.catalogmodel")),
    "deployments.cluster": lambda lab: ClusterFactory(),
    "deployments.deployment": lambda lab: DeploymentFactory(),
    "deployments.provider": lambda lab: ProviderFactory(),
    "deployments.providermodel": lambda lab: ProviderModelFactory(provider=lab.row("deployments.provider")),
    "deployments.providercredential": lambda lab: credential_of(
        lab.row("deployments.provider"), "marker-of-a-key-1234"
    ),
}

# Models whose rows are a tenant's own: all that point to it.
TENANT_OWNED = {
    model._meta.label_lower
    for model in apps.get_models()
    if any(field.name == "tenant" for field in model._meta.get_fields())
    and model._meta.get_field("tenant").related_model is Tenant
} | {"tenants.tenant"}

# Path parameters that are not a row's key of the view's own model: by name, from the lab.
PARAMETERS = {
    "tenant": lambda lab: lab.tenant.slug,
    "name": lambda lab: lab.row("catalog.catalogmodel").name,
    "link": lambda lab: lab.row("tenants.invitation") and lab.link,
    "app_label": lambda lab: "tenants",
    "key": lambda lab: "User",
    "url": lambda lab: "no-such-page",
    "token": lambda lab: "no-such-link",
    "kind": lambda lab: "members",
    # Of somebody's session, which a page finds among one's own alone.
    "handle": lambda lab: "0" * 32,
    "revision": lambda lab: lab.row("tenants.configchange").revision,
}

# Path parameters that are neither a UUID nor a slug, and why nobody guesses one.
OPAQUE_PARAMETERS = {
    "revision": "a number; staff who see one revision see all",
    "handle": "a hash of a session's key; a page finds it among one's own alone",
}

# Tasks that take an id and no tenant, and why.
PLATFORM_TASKS = {
    "deployments.tasks.reconcile_deployment": "a deployment is the platform's",
    "deployments.tasks.try_cluster": "a cluster is the platform's, and asks no row",
    "catalog.price_map.tasks.carry_out_import": "the catalog is the platform's; whoever accepted is in its row",
    "privacy.tasks.erase_person": "a person belongs to no tenant; its order is signed, and says who ordered",
    "directory.oidc.tasks.check_identities": "people belong to no tenant; their groups may concern several",
    "directory.oidc.tasks.apply_group_mapping": "the rule itself says which tenant it gives a role in",
}

# Routes that anybody may open, and why.
OPEN = {
    "healthz": "says only that the process answers",
    "readyz": "says only whether the parts are there",
    "metrics": "counts requests; kept from outside by the proxy (docs/operate.md)",
    "login": "signing in",
    "language": "sets a cookie, and the language of one's own account",
    "second-factor-confirm": "the second step of signing in",
    "administrator-link": "signed, made on the machine, used once",
    "staff-sign-in": "leads to the one sign-in page",
    "logout": "ends whatever session there is",
    "invitation": "whoever holds the link reads the mail of the invited address",
    "oidc_authentication_init": "signing in; 404 without a provider",
    "oidc_authentication_callback": "signing in; does nothing for a browser that did not set out",
    "oidc-backchannel-logout": "the provider's tokens are signed; says nothing of anybody",
    "api-schema": "the shape of the API, no data",
    "api-docs": "the shape of the API, no data",
    "admin:login": "signing in",
    "admin:logout": "ends whatever session there is",
    "admin:jsi18n": "translations of the admin's scripts",
}

# Routes that lead nowhere by themselves, and why.
SKIPPED = {
    "admin:view_on_site": "only redirects to a model's own page, and ours have none in the admin",
}

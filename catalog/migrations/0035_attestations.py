"""Attestation campaigns, and an attestation for each grant of one."""

import core.ids
import core.names
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.manager
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

# A campaign keeps its scope, and moves one way. It opens once, reminds twice, and is not closed while grants wait.
CAMPAIGNS = """
CREATE FUNCTION catalog_campaign_moves() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'preparing' OR NEW.reminders <> 0 OR NEW.total <> 0 THEN
            RAISE EXCEPTION 'a campaign begins by being prepared'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'campaign_moves';
        END IF;
        RETURN NEW;
    END IF;
    IF (OLD.only_tenant_id, OLD.only_model_id, OLD.only_risk_tier, OLD.closes_at, OLD.created_by_id, OLD.created_at)
       IS DISTINCT FROM
       (NEW.only_tenant_id, NEW.only_model_id, NEW.only_risk_tier, NEW.closes_at, NEW.created_by_id, NEW.created_at)
       OR NEW.reminders < OLD.reminders OR NEW.reminders > OLD.reminders + 1
       OR NEW.state <> OLD.state AND NOT (
            OLD.state = 'preparing' AND NEW.state IN ('open', 'cancelled')
            OR OLD.state = 'open' AND NEW.state IN ('closed', 'cancelled'))
       OR NEW.state = 'closed' AND OLD.state = 'open' AND EXISTS (
            SELECT FROM catalog_attestation a WHERE a.campaign_id = NEW.id AND a.answer = 'pending')
    THEN
        RAISE EXCEPTION 'a campaign keeps its scope and its end, and closes once nothing waits'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'campaign_moves';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER campaign_moves BEFORE INSERT OR UPDATE ON catalog_attestationcampaign
    FOR EACH ROW EXECUTE FUNCTION catalog_campaign_moves();
CREATE TRIGGER campaign_is_kept BEFORE DELETE ON catalog_attestationcampaign
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# An attestation is made while its campaign is prepared, is answered once while it is open, and lapses only after it has
# closed, two reminders sent. The answer stays.
ATTESTATIONS = """
ALTER TABLE catalog_attestation ADD CONSTRAINT attestation_grant_of_tenant
    FOREIGN KEY (tenant_id, grant_id) REFERENCES catalog_grant (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION catalog_attestation_stands() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    campaign catalog_attestationcampaign;
    is_right boolean;
BEGIN
    SELECT * INTO campaign FROM catalog_attestationcampaign WHERE id = NEW.campaign_id;
    IF TG_OP = 'INSERT' THEN
        is_right := NEW.answer = 'pending' AND campaign.state = 'preparing';
    ELSE
        is_right := OLD.answer = 'pending' AND NEW.answer <> 'pending' AND campaign.state = 'open'
            AND (OLD.id, OLD.tenant_id, OLD.campaign_id, OLD.grant_id, OLD.created_at)
                IS NOT DISTINCT FROM (NEW.id, NEW.tenant_id, NEW.campaign_id, NEW.grant_id, NEW.created_at)
            AND CASE WHEN NEW.answer IN ('confirmed', 'dropped') THEN campaign.closes_at > statement_timestamp()
                     ELSE campaign.closes_at <= statement_timestamp() AND campaign.reminders = 2 END;
    END IF;
    IF NOT coalesce(is_right, false) THEN
        RAISE EXCEPTION 'an attestation is answered once, while its campaign is open, and lapses after two reminders'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attestation_stands';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER attestation_stands BEFORE INSERT OR UPDATE ON catalog_attestation
    FOR EACH ROW EXECUTE FUNCTION catalog_attestation_stands();
CREATE TRIGGER attestation_is_kept BEFORE DELETE ON catalog_attestation
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# Once for each statement, however many rows it has.
COUNTERS = """
CREATE FUNCTION catalog_count_attestations() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE catalog_attestationcampaign c SET total = c.total + found.number
          FROM (SELECT campaign_id, count(*) AS number FROM fresh GROUP BY campaign_id ORDER BY campaign_id) found
         WHERE c.id = found.campaign_id;
    ELSE
        UPDATE catalog_attestationcampaign c
           SET confirmed = c.confirmed + found.confirmed, dropped = c.dropped + found.dropped,
               lapsed = c.lapsed + found.lapsed, "over" = c."over" + found."over"
          FROM (SELECT campaign_id, count(*) FILTER (WHERE answer = 'confirmed') AS confirmed,
                       count(*) FILTER (WHERE answer = 'dropped') AS dropped,
                       count(*) FILTER (WHERE answer = 'lapsed') AS lapsed,
                       count(*) FILTER (WHERE answer = 'over') AS "over"
                  FROM fresh GROUP BY campaign_id ORDER BY campaign_id) found
         WHERE c.id = found.campaign_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER attestations_made AFTER INSERT ON catalog_attestation REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION catalog_count_attestations();
CREATE TRIGGER attestations_answered AFTER UPDATE ON catalog_attestation REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION catalog_count_attestations();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0034_documentation"),
        ("tenants", "0011_unsent_mails_in_the_outbox"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AttestationCampaign",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", core.names.NameField(max_length=80, verbose_name="name")),
                (
                    "only_risk_tier",
                    models.CharField(
                        blank=True,
                        choices=[("low", "Low"), ("moderate", "Moderate"), ("high", "High")],
                        default="",
                        max_length=10,
                        verbose_name="risk tier",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("preparing", "Preparing"),
                            ("open", "Open"),
                            ("closed", "Closed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="preparing",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("closes_at", models.DateTimeField(verbose_name="closes")),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="started"
                    ),
                ),
                ("opened_at", models.DateTimeField(editable=False, null=True, verbose_name="opened")),
                (
                    "reminders",
                    models.PositiveSmallIntegerField(
                        default=0, editable=False, verbose_name="reminders sent"
                    ),
                ),
                (
                    "reminded_at",
                    models.DateTimeField(editable=False, null=True, verbose_name="last reminder"),
                ),
                ("ended_at", models.DateTimeField(editable=False, null=True, verbose_name="ended")),
                ("total", models.PositiveIntegerField(default=0, editable=False, verbose_name="grants")),
                (
                    "confirmed",
                    models.PositiveIntegerField(default=0, editable=False, verbose_name="confirmed"),
                ),
                ("dropped", models.PositiveIntegerField(default=0, editable=False, verbose_name="dropped")),
                ("lapsed", models.PositiveIntegerField(default=0, editable=False, verbose_name="lapsed")),
                (
                    "over",
                    models.PositiveIntegerField(
                        default=0, editable=False, verbose_name="over before an answer"
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="started by",
                    ),
                ),
                (
                    "only_model",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="catalog.catalogmodel",
                        verbose_name="model",
                    ),
                ),
                (
                    "only_tenant",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
            ],
            options={
                "verbose_name": "attestation campaign",
                "verbose_name_plural": "attestation campaigns",
                "permissions": [("manage_campaign", "Start and cancel attestation campaigns")],
            },
        ),
        migrations.CreateModel(
            name="Attestation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "answer",
                    models.CharField(
                        choices=[
                            ("pending", "Waits for an answer"),
                            ("confirmed", "Still needed"),
                            ("dropped", "No longer needed"),
                            ("lapsed", "Lapsed without an answer"),
                            ("over", "Over before an answer"),
                        ],
                        default="pending",
                        max_length=9,
                        verbose_name="answer",
                    ),
                ),
                ("answered_at", models.DateTimeField(null=True, verbose_name="answered")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "answered_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="answered by",
                    ),
                ),
                (
                    "grant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attestations",
                        to="catalog.grant",
                        verbose_name="grant",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attestations",
                        to="catalog.attestationcampaign",
                        verbose_name="campaign",
                    ),
                ),
            ],
            options={
                "verbose_name": "attestation",
                "verbose_name_plural": "attestations",
                "abstract": False,
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
        migrations.AddConstraint(
            model_name="attestationcampaign",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("name"))),
                name="attestation_campaign_name_is_one_line",
            ),
        ),
        migrations.AddConstraint(
            model_name="attestationcampaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("reminders__lte", 2)), name="campaign_reminds_twice"
            ),
        ),
        migrations.AddConstraint(
            model_name="attestationcampaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("closes_at__gt", models.F("created_at"))), name="campaign_closes_later"
            ),
        ),
        migrations.AddConstraint(
            model_name="attestationcampaign",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "total__gte",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("confirmed"), "+", models.F("dropped")
                                ),
                                "+",
                                models.F("lapsed"),
                            ),
                            "+",
                            models.F("over"),
                        ),
                    )
                ),
                name="campaign_counts_its_grants",
            ),
        ),
        migrations.AddIndex(
            model_name="attestation",
            index=models.Index(
                condition=models.Q(("answer", "pending")),
                fields=["tenant", "id"],
                name="attestation_of_tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="attestation",
            index=models.Index(
                condition=models.Q(("answer", "pending")),
                fields=["campaign", "id"],
                name="attestation_pending",
            ),
        ),
        migrations.AddConstraint(
            model_name="attestation",
            constraint=models.UniqueConstraint(fields=("campaign", "grant"), name="attestation_once"),
        ),
        migrations.AddConstraint(
            model_name="attestation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("answer", "pending"), ("answered_at", None), ("answered_by", None)),
                    models.Q(
                        ("answer__in", ["confirmed", "dropped"]),
                        ("answered_at__isnull", False),
                        ("answered_by__isnull", False),
                    ),
                    models.Q(
                        ("answer__in", ["lapsed", "over"]),
                        ("answered_at__isnull", False),
                        ("answered_by", None),
                    ),
                    _connector="OR",
                ),
                name="attestation_answered_by_people",
            ),
        ),
        migrations.RunSQL(CAMPAIGNS),
        migrations.RunSQL(ATTESTATIONS),
        migrations.RunSQL(COUNTERS),
    ]

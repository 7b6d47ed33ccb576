"""The rules are rows, in versions: one is in force, put in force by two people, and stays as it was."""

import core.ids
import django.contrib.postgres.fields
import django.db.models.constraints
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

# Evaluations of an earlier release name versions that have no rows. `migrate` completes the first rules afterwards
# (catalog/first_rules.py); what older ones said is not known as rows.
VERSIONS_OF_EARLIER_EVALUATIONS = """
INSERT INTO catalog_ruleset (id, version, state, note, created_at, in_force_at, superseded_at)
SELECT gen_random_uuid(), rule_version, CASE rule_version WHEN '2026-11.1' THEN 'draft' ELSE 'superseded' END,
       CASE rule_version WHEN '2026-11.1' THEN '' ELSE 'Rules of an earlier release' END, min(at),
       CASE rule_version WHEN '2026-11.1' THEN NULL ELSE min(at) END,
       CASE rule_version WHEN '2026-11.1' THEN NULL ELSE max(at) END
  FROM catalog_ruleevaluation GROUP BY rule_version;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""

# A version begins as a draft, is proposed by one person, and put in force by another, who are both active people. Only
# the first rules of an installation are put in force by nobody. From its proposal on, nothing of a version changes; a
# version that was in force is never deleted, and there is always one in force.
RULE_SETS_STAND = """
CREATE FUNCTION catalog_rule_set_moves() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_right boolean;
BEGIN
    IF TG_OP = 'DELETE' THEN
        is_right := OLD.state = 'draft';
    ELSIF TG_OP = 'INSERT' THEN
        is_right := NEW.state = 'draft';
    ELSIF OLD.state = 'draft' AND NEW.state = 'draft' THEN
        is_right := NEW.version = OLD.version;
    ELSIF (OLD.id, OLD.version, OLD.note, OLD.other_track, OLD.created_by_id, OLD.created_at)
          IS DISTINCT FROM (NEW.id, NEW.version, NEW.note, NEW.other_track, NEW.created_by_id, NEW.created_at) THEN
        is_right := false;
    ELSIF OLD.state = 'draft' AND NEW.state = 'proposed' THEN
        is_right := EXISTS (SELECT FROM accounts_user p
             WHERE p.id = NEW.proposed_by_id AND p.is_active AND p.service_of_id IS NULL);
        NEW.proposed_at := clock_timestamp();
    ELSIF OLD.state = 'proposed' AND NEW.state = 'draft' THEN
        is_right := true;
    ELSIF OLD.state = 'proposed' AND NEW.state = 'in_force' THEN
        is_right := (NEW.proposed_by_id, NEW.proposed_at) = (OLD.proposed_by_id, OLD.proposed_at)
            AND NEW.put_in_force_by_id <> NEW.proposed_by_id AND EXISTS (SELECT FROM accounts_user p
             WHERE p.id = NEW.put_in_force_by_id AND p.is_active AND p.service_of_id IS NULL);
        NEW.in_force_at := clock_timestamp();
    ELSIF OLD.state = 'draft' AND NEW.state = 'in_force' THEN
        is_right := NEW.proposed_by_id IS NULL AND NEW.put_in_force_by_id IS NULL
            AND NOT EXISTS (SELECT FROM catalog_ruleset s WHERE s.other_track IS NOT NULL AND s.in_force_at IS NOT NULL);
        NEW.in_force_at := clock_timestamp();
    ELSIF OLD.state = 'in_force' AND NEW.state = 'superseded' THEN
        is_right := (NEW.proposed_by_id, NEW.proposed_at, NEW.put_in_force_by_id, NEW.in_force_at)
            IS NOT DISTINCT FROM (OLD.proposed_by_id, OLD.proposed_at, OLD.put_in_force_by_id, OLD.in_force_at);
        NEW.superseded_at := clock_timestamp();
    END IF;
    IF is_right IS NOT TRUE THEN
        RAISE EXCEPTION 'rules are a draft, are proposed by one person and put in force by another, and then stay'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rule_set_moves';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rule_set_moves BEFORE INSERT OR UPDATE OR DELETE ON catalog_ruleset
    FOR EACH ROW EXECUTE FUNCTION catalog_rule_set_moves();

CREATE FUNCTION catalog_some_rules_are_in_force() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM catalog_ruleset s WHERE s.state = 'in_force') THEN
        RAISE EXCEPTION 'rules end when others are put in force'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rule_set_some_in_force';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER rule_set_some_in_force AFTER UPDATE ON catalog_ruleset
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.state = 'in_force' AND NEW.state <> 'in_force')
    EXECUTE FUNCTION catalog_some_rules_are_in_force();
"""

# Rules change only while their version is a draft. Whoever changes one holds the version, so nobody proposes it
# meanwhile.
RULES_STAND = """
CREATE FUNCTION catalog_rule_is_of_draft() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    held text;
    of_version uuid;
BEGIN
    IF TG_OP = 'DELETE' THEN
        of_version := OLD.rule_set_id;
    ELSE
        of_version := NEW.rule_set_id;
    END IF;
    SELECT s.state INTO held FROM catalog_ruleset s WHERE s.id = of_version FOR SHARE;
    IF held <> 'draft' OR (TG_OP = 'UPDATE' AND NEW.rule_set_id <> OLD.rule_set_id) THEN
        RAISE EXCEPTION 'rules change only in a draft; copy the version'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rule_is_of_draft';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rule_is_of_draft BEFORE INSERT OR UPDATE OR DELETE ON catalog_rule
    FOR EACH ROW EXECUTE FUNCTION catalog_rule_is_of_draft();
"""

# An evaluation is of the rules that are in force while its transaction runs, and of an open request.
EVALUATIONS_ARE_OF_THE_RULES_IN_FORCE = """
CREATE FUNCTION catalog_evaluation_is_of_rules() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM catalog_ruleset s WHERE s.version = NEW.rule_version AND s.state = 'in_force' FOR SHARE;
    IF NOT FOUND OR NEW.occasion NOT IN ('raised', 'decided', 'facts_changed') OR NOT EXISTS (
        SELECT FROM catalog_accessrequest q WHERE q.id = NEW.access_request_id AND q.state = 'pending')
    THEN
        RAISE EXCEPTION 'an evaluation is of the rules in force, and of an open request'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rule_evaluation_is_of_rules';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rule_evaluation_is_of_rules BEFORE INSERT ON catalog_ruleevaluation
    FOR EACH ROW EXECUTE FUNCTION catalog_evaluation_is_of_rules();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0015_more_facts"),
        ("tenants", "0008_keys_to_claim"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RuleSet",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.CharField(max_length=40, unique=True, verbose_name="version")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("draft", "Draft"),
                            ("proposed", "Proposed"),
                            ("in_force", "In force"),
                            ("superseded", "Superseded"),
                        ],
                        default="draft",
                        max_length=10,
                        verbose_name="state",
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=500, verbose_name="what changes, and why")),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="created"
                    ),
                ),
                ("proposed_at", models.DateTimeField(null=True, verbose_name="proposed")),
                ("in_force_at", models.DateTimeField(null=True, verbose_name="in force from")),
                ("superseded_at", models.DateTimeField(null=True, verbose_name="in force until")),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="made by",
                    ),
                ),
                (
                    "other_track",
                    models.ForeignKey(
                        db_column="other_track",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="catalog.track",
                        to_field="code",
                        verbose_name="track of all other requests",
                    ),
                ),
                (
                    "proposed_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="proposed by",
                    ),
                ),
                (
                    "put_in_force_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="put in force by",
                    ),
                ),
            ],
            options={
                "verbose_name": "version of the rules",
                "verbose_name_plural": "versions of the rules",
                "permissions": [("manage_ruleset", "Change rules, and put them in force")],
            },
        ),
        migrations.CreateModel(
            name="Rule",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(verbose_name="number")),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("review", "requires a review"),
                            ("automatic", "approves at once, unless another rule requires a review"),
                            ("reject", "rejects the request"),
                            ("duration", "limits the duration"),
                        ],
                        max_length=9,
                        verbose_name="what follows",
                    ),
                ),
                (
                    "quorum",
                    models.PositiveSmallIntegerField(default=0, verbose_name="approvals needed at least"),
                ),
                (
                    "longest_days",
                    models.PositiveSmallIntegerField(
                        blank=True, null=True, verbose_name="longest duration in days"
                    ),
                ),
                ("sentence", models.CharField(blank=True, max_length=200, verbose_name="sentence")),
                (
                    "usage",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("new", "The project has not used the model before"),
                            ("known", "The project has used the model before"),
                        ],
                        max_length=5,
                        verbose_name="use so far",
                    ),
                ),
                (
                    "risk_tiers",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[("low", "Low"), ("moderate", "Moderate"), ("high", "High")],
                            max_length=10,
                        ),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="risk tiers",
                    ),
                ),
                (
                    "data_classes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("public", "Public"),
                                ("internal", "Internal"),
                                ("confidential", "Confidential"),
                                ("restricted", "Restricted"),
                            ],
                            max_length=12,
                        ),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="data classes",
                    ),
                ),
                (
                    "cost_above",
                    models.DecimalField(
                        blank=True, decimal_places=2, max_digits=16, null=True, verbose_name="cost above"
                    ),
                ),
                (
                    "cost_up_to",
                    models.DecimalField(
                        blank=True, decimal_places=2, max_digits=16, null=True, verbose_name="cost up to"
                    ),
                ),
                (
                    "outside_regions",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=60),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="offered in none of the regions",
                    ),
                ),
                (
                    "limit_kind",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("requests_per_minute", "Requests per minute"),
                            ("tokens_per_minute", "Tokens per minute"),
                            ("concurrent_calls", "Concurrent calls"),
                            ("tokens_per_day", "Tokens per day"),
                            ("tokens_per_month", "Tokens per month"),
                            ("money_per_month", "Money per month"),
                        ],
                        max_length=20,
                        verbose_name="kind of limit",
                    ),
                ),
                (
                    "limit_above",
                    models.DecimalField(
                        blank=True, decimal_places=2, max_digits=20, null=True, verbose_name="limit above"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        db_column="of_tenant",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "track",
                    models.ForeignKey(
                        blank=True,
                        db_column="track",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="catalog.track",
                        to_field="code",
                        verbose_name="track",
                    ),
                ),
                (
                    "rule_set",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="rules",
                        to="catalog.ruleset",
                        verbose_name="version of the rules",
                    ),
                ),
            ],
            options={
                "verbose_name": "rule",
                "verbose_name_plural": "rules",
                "ordering": ["rule_set", "position"],
            },
        ),
        migrations.RunSQL(VERSIONS_OF_EARLIER_EVALUATIONS),
        migrations.AlterField(
            model_name="ruleevaluation",
            name="rule_version",
            field=models.ForeignKey(
                db_column="rule_version",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="catalog.ruleset",
                to_field="version",
                verbose_name="version of the rules",
            ),
        ),
        migrations.RenameField("ruleevaluation", "rule_version", "rule_set"),
        migrations.AddConstraint(
            model_name="ruleset",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "in_force")), fields=("state",), name="rule_set_one_in_force"
            ),
        ),
        migrations.AddConstraint(
            model_name="ruleset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("put_in_force_by", models.F("proposed_by")), _negated=True),
                    ("put_in_force_by", None),
                    _connector="OR",
                ),
                name="rule_set_takes_two",
            ),
        ),
        migrations.AddConstraint(
            model_name="ruleset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("in_force_at", None),
                        ("proposed_by", None),
                        ("put_in_force_by", None),
                        ("state", "draft"),
                    ),
                    models.Q(
                        ("in_force_at", None),
                        ("proposed_by__isnull", False),
                        ("put_in_force_by", None),
                        ("state", "proposed"),
                    ),
                    models.Q(
                        ("in_force_at__isnull", False),
                        ("proposed_by", None),
                        ("put_in_force_by", None),
                        ("state__in", ("in_force", "superseded")),
                    ),
                    models.Q(
                        ("in_force_at__isnull", False),
                        ("proposed_by__isnull", False),
                        ("put_in_force_by__isnull", False),
                        ("state__in", ("in_force", "superseded")),
                    ),
                    _connector="OR",
                ),
                name="rule_set_says_who",
            ),
        ),
        migrations.AddConstraint(
            model_name="ruleset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["draft", "superseded"]), ("other_track__isnull", False), _connector="OR"
                ),
                name="rule_set_has_a_track_for_others",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.UniqueConstraint(
                deferrable=django.db.models.constraints.Deferrable["DEFERRED"],
                fields=("rule_set", "position"),
                name="rule_position_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("longest_days", None),
                        ("outcome", "review"),
                        ("quorum__lte", 9),
                        ("track__isnull", False),
                    ),
                    models.Q(
                        ("longest_days", None), ("outcome", "automatic"), ("quorum", 0), ("track", None)
                    ),
                    models.Q(
                        ("longest_days", None),
                        ("outcome", "reject"),
                        ("quorum", 0),
                        ("track", None),
                        models.Q(("sentence", ""), _negated=True),
                    ),
                    models.Q(
                        ("longest_days__range", (1, 730)),
                        ("outcome", "duration"),
                        ("quorum", 0),
                        ("track", None),
                    ),
                    _connector="OR",
                ),
                name="rule_has_one_outcome",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("limit_above", None), ("limit_kind", "")),
                    models.Q(
                        ("limit_above__gte", 0),
                        (
                            "limit_kind__in",
                            [
                                "requests_per_minute",
                                "tokens_per_minute",
                                "concurrent_calls",
                                "tokens_per_day",
                                "tokens_per_month",
                                "money_per_month",
                            ],
                        ),
                    ),
                    _connector="OR",
                ),
                name="rule_limit_has_kind_and_number",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("usage__in", ["", "new", "known"]),
                    ("risk_tiers__contained_by", ["low", "moderate", "high"]),
                    ("data_classes__contained_by", ["public", "internal", "confidential", "restricted"]),
                ),
                name="rule_conditions_are_known",
            ),
        ),
        migrations.RunSQL(RULE_SETS_STAND),
        migrations.RunSQL(RULES_STAND),
        migrations.RunSQL(EVALUATIONS_ARE_OF_THE_RULES_IN_FORCE),
    ]

"""Tracks have questions, in versions; requesters answer them, and approvals rest on the answers."""

import core.ids
import core.names
import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


# What is in force stays as it was put in force, but for its end; questions change in a draft.
QUESTIONS_STAND = """
CREATE FUNCTION catalog_questions_stand() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'catalog_questionset' THEN
        IF TG_OP = 'DELETE' THEN
            IF OLD.state = 'draft' THEN RETURN OLD; END IF;
        ELSIF OLD.state = 'draft' AND (OLD.track, OLD.version) = (NEW.track, NEW.version)
           OR OLD.state = 'in_force' AND NEW.state = 'superseded'
              AND (OLD.track, OLD.version, OLD.note, OLD.in_force_at, OLD.put_in_force_by_id)
                  IS NOT DISTINCT FROM (NEW.track, NEW.version, NEW.note, NEW.in_force_at, NEW.put_in_force_by_id)
        THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        -- With its version, the row of that is gone already.
        IF NOT EXISTS (SELECT FROM catalog_questionset q WHERE q.id = OLD.question_set_id AND q.state <> 'draft') THEN
            RETURN OLD;
        END IF;
    ELSIF EXISTS (SELECT FROM catalog_questionset q WHERE q.id = NEW.question_set_id AND q.state = 'draft' FOR SHARE)
       AND (TG_OP = 'INSERT' OR OLD.question_set_id = NEW.question_set_id)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'questions that were in force stay as they were'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'question_set_stands';
END $$;
CREATE TRIGGER question_set_stands BEFORE UPDATE OR DELETE ON catalog_questionset
    FOR EACH ROW EXECUTE FUNCTION catalog_questions_stand();
CREATE TRIGGER question_stands BEFORE INSERT OR UPDATE OR DELETE ON catalog_question
    FOR EACH ROW EXECUTE FUNCTION catalog_questions_stand();
"""

# Answers are to the version in force, of an open request, and are not changed. An approval rests on the answers of its
# moment: no others come while one stands in the present round of the track.
ANSWERS_STAND = """
ALTER TABLE catalog_questionanswers ADD CONSTRAINT question_answers_request_of_tenant
    FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION catalog_answers_come_first() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    questions catalog_questionset;
BEGIN
    SELECT * INTO questions FROM catalog_questionset q WHERE q.id = NEW.question_set_id FOR SHARE;
    PERFORM FROM catalog_review r
      WHERE r.access_request_id = NEW.access_request_id AND r.track = questions.track FOR NO KEY UPDATE;
    IF questions.state IS DISTINCT FROM 'in_force' OR NOT EXISTS (
        SELECT FROM catalog_accessrequest q
         WHERE q.id = NEW.access_request_id AND q.state IN ('pending', 'returned'))
    THEN
        RAISE EXCEPTION 'answers are to the questions in force, of an open request'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'question_answers_of_open_request';
    END IF;
    IF EXISTS (
        SELECT FROM catalog_review r JOIN catalog_reviewdecision d ON d.review_id = r.id AND d.round = r.round
         WHERE r.access_request_id = NEW.access_request_id AND r.track = questions.track AND d.verdict = 'approve')
    THEN
        RAISE EXCEPTION 'an approval rests on the answers of its moment: the review is asked again first'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'question_answers_come_first';
    END IF;
    NEW.at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER question_answers_come_first BEFORE INSERT ON catalog_questionanswers
    FOR EACH ROW EXECUTE FUNCTION catalog_answers_come_first();
CREATE TRIGGER question_answers_append_only BEFORE UPDATE OR DELETE ON catalog_questionanswers
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0035_attestations"),
        ("tenants", "0011_unsent_mails_in_the_outbox"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="QuestionSet",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("version", models.PositiveIntegerField(verbose_name="version")),
                (
                    "state",
                    models.CharField(
                        choices=[("draft", "Draft"), ("in_force", "In force"), ("superseded", "Superseded")],
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
                    "put_in_force_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="put in force by",
                    ),
                ),
                (
                    "track",
                    models.ForeignKey(
                        db_column="track",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="question_sets",
                        to="catalog.track",
                        to_field="code",
                        verbose_name="track",
                    ),
                ),
            ],
            options={
                "verbose_name": "version of the questions",
                "verbose_name_plural": "versions of the questions",
            },
        ),
        migrations.CreateModel(
            name="QuestionAnswers",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("answers", models.JSONField(verbose_name="answers")),
                (
                    "at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="at"
                    ),
                ),
                (
                    "access_request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="answers",
                        to="catalog.accessrequest",
                        verbose_name="access request",
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
                    "question_set",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="catalog.questionset",
                        verbose_name="version of the questions",
                    ),
                ),
            ],
            options={
                "verbose_name": "answers",
                "verbose_name_plural": "answers",
                "abstract": False,
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
        migrations.CreateModel(
            name="Question",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("position", models.PositiveSmallIntegerField(default=1, verbose_name="number")),
                (
                    "code",
                    models.CharField(
                        max_length=40,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z][a-z0-9_]*$",
                                "Lower-case letters, digits and underscores; a letter first.",
                            )
                        ],
                        verbose_name="code",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("text", "Text"),
                            ("choice", "One of a list"),
                            ("yes_no", "Yes or no"),
                            ("number", "Number"),
                        ],
                        default="text",
                        max_length=6,
                        verbose_name="kind of answer",
                    ),
                ),
                ("text", models.CharField(max_length=300, verbose_name="question")),
                ("help", models.CharField(blank=True, max_length=500, verbose_name="help")),
                (
                    "choices",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="choices",
                    ),
                ),
                ("is_required", models.BooleanField(default=True, verbose_name="must be answered")),
                (
                    "question_set",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="questions",
                        to="catalog.questionset",
                        verbose_name="version of the questions",
                    ),
                ),
            ],
            options={
                "verbose_name": "question",
                "verbose_name_plural": "questions",
                "ordering": ["question_set", "position", "pk"],
            },
        ),
        migrations.AddConstraint(
            model_name="questionset",
            constraint=models.UniqueConstraint(fields=("track", "version"), name="question_set_version"),
        ),
        migrations.AddConstraint(
            model_name="questionset",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state", "in_force")), fields=("track",), name="question_set_one_in_force"
            ),
        ),
        migrations.AddConstraint(
            model_name="questionset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("in_force_at", None), ("state", "draft")),
                    models.Q(models.Q(("state", "draft"), _negated=True), ("in_force_at__isnull", False)),
                    _connector="OR",
                ),
                name="question_set_says_when",
            ),
        ),
        migrations.AddIndex(
            model_name="questionanswers",
            index=models.Index(fields=["access_request", "-at"], name="question_answers_newest"),
        ),
        migrations.AddConstraint(
            model_name="question",
            constraint=models.UniqueConstraint(fields=("question_set", "code"), name="question_once"),
        ),
        migrations.AddConstraint(
            model_name="question",
            constraint=models.CheckConstraint(
                condition=models.Q(core.names.OneLine(models.F("text"))), name="question_text_is_one_line"
            ),
        ),
        migrations.AddConstraint(
            model_name="question",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "choice"), models.Q(("choices", []), _negated=True)),
                    models.Q(models.Q(("kind", "choice"), _negated=True), ("choices", [])),
                    _connector="OR",
                ),
                name="question_has_choices",
            ),
        ),
        migrations.RunSQL(QUESTIONS_STAND),
        migrations.RunSQL(ANSWERS_STAND),
    ]

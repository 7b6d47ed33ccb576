"""Tracks are rows, and the right to decide is one on a review scope."""

import datetime

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models
from django.db.models import CheckConstraint, F, Q, UniqueConstraint

import catalog.models.tracks
import core.ids
import core.names

# Reviews of an earlier version keep their track. `migrate` completes the rows afterwards (catalog/first_tracks.py).
TRACKS_OF_EARLIER_REVIEWS = """
INSERT INTO catalog_workingcalendar (id, name, time_zone, opens, closes, weekdays, holidays)
SELECT gen_random_uuid(), 'Monday to Friday', 'UTC', '09:00', '17:00', '{1,2,3,4,5}', '{}'
 WHERE EXISTS (SELECT FROM catalog_review);
INSERT INTO catalog_track (id, code, name, quorum, due_hours, calendar_id)
SELECT gen_random_uuid(), used.track, initcap(used.track), 1,
       CASE used.track WHEN 'cost' THEN 8 WHEN 'compliance' THEN 24 ELSE 16 END, calendar.id
  FROM (SELECT DISTINCT track FROM catalog_review) used, catalog_workingcalendar calendar;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""

# Whether a person decides a review of this track, for this tenant and model: active staff, with the permission by a
# role and on a scope that covers the review. catalog/review_scopes.py asks the same.
MAY_DECIDE = """
CREATE FUNCTION catalog_may_decide(person uuid, of_track text, of_tenant uuid, of_model uuid)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH held AS (
        SELECT d.id FROM auth_permission d JOIN django_content_type c ON c.id = d.content_type_id
         WHERE c.app_label = 'catalog' AND c.model = 'reviewscope' AND d.codename = 'decide_review'
    )
    SELECT EXISTS (
        SELECT FROM accounts_user p
         WHERE p.id = person AND p.is_active AND p.service_of_id IS NULL AND (p.is_superuser OR (
            (p.is_staff AND EXISTS (
                SELECT FROM accounts_user_groups g JOIN auth_group_permissions gp ON gp.group_id = g.group_id
                 WHERE g.user_id = p.id AND gp.permission_id IN (SELECT id FROM held))
             OR EXISTS (
                SELECT FROM accounts_user_user_permissions o
                 WHERE o.user_id = p.id AND o.permission_id IN (SELECT id FROM held)))
            AND EXISTS (
                SELECT FROM catalog_reviewscope s
                 WHERE s.track = of_track
                   AND (s.tenant_id IS NULL OR s.tenant_id = of_tenant)
                   AND (s.model_id IS NULL OR s.model_id = of_model)
                   AND (EXISTS (
                            SELECT FROM guardian_userobjectpermission u
                             WHERE u.user_id = p.id AND u.object_pk = s.id::text
                               AND u.permission_id IN (SELECT id FROM held))
                        OR EXISTS (
                            SELECT FROM guardian_groupobjectpermission u
                              JOIN accounts_user_groups g ON g.group_id = u.group_id
                             WHERE g.user_id = p.id AND u.object_pk = s.id::text
                               AND u.permission_id IN (SELECT id FROM held)))))))
$$;
"""

# As in 0005_four_eyes, with the question above in place of a permission by the name of the track.
WHO_DECIDES = """
CREATE OR REPLACE FUNCTION catalog_reviewer_is_not_requester() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    review catalog_review;
    request catalog_accessrequest;
BEGIN
    SELECT * INTO review FROM catalog_review WHERE id = NEW.review_id;
    SELECT * INTO request FROM catalog_accessrequest WHERE id = review.access_request_id;
    IF NEW.reviewer_id = request.requested_by_id
       OR EXISTS (SELECT FROM accounts_user a WHERE a.id = request.requested_by_id AND a.responsible_id = NEW.reviewer_id)
       OR EXISTS (SELECT FROM catalog_requestdelegate d
                   WHERE d.access_request_id = request.id AND d.person_id = NEW.reviewer_id)
       OR EXISTS (SELECT FROM catalog_delegates_of(request.requested_by_id) d WHERE d.person_id = NEW.reviewer_id)
    THEN
        RAISE EXCEPTION 'four eyes: the person who asked for access, or could act for who asked, may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    IF request.state <> 'pending' OR review.state <> 'pending' OR NEW.round <> review.round THEN
        RAISE EXCEPTION 'a decision belongs to the present round of an open review'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_of_open_review';
    END IF;
    IF NOT catalog_may_decide(NEW.reviewer_id, review.track, review.tenant_id, request.model_id) THEN
        RAISE EXCEPTION 'four eyes: who decides no such % reviews decides none here', review.track
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_by_reviewers';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0006_states_follow_decisions"),
        ("guardian", "0002_generic_permissions_index"),
        ("tenants", "0008_keys_to_claim"),
    ]

    operations = [
        migrations.CreateModel(
            name="WorkingCalendar",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", core.names.NameField(max_length=80, unique=True, verbose_name="name")),
                ("time_zone", models.CharField(default="UTC", max_length=60, verbose_name="time zone")),
                (
                    "opens",
                    models.TimeField(default=datetime.time(9, 0), verbose_name="working day begins"),
                ),
                ("closes", models.TimeField(default=datetime.time(17, 0), verbose_name="working day ends")),
                (
                    "weekdays",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(),
                        default=catalog.models.tracks._monday_to_friday,
                        size=None,
                        verbose_name="working days",
                    ),
                ),
                (
                    "holidays",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DateField(),
                        blank=True,
                        default=list,
                        size=None,
                        verbose_name="holidays",
                    ),
                ),
            ],
            options={
                "verbose_name": "working calendar",
                "verbose_name_plural": "working calendars",
                "constraints": [
                    CheckConstraint(
                        condition=Q(core.names.OneLine(F("name"))), name="working_calendar_name_is_one_line"
                    ),
                    CheckConstraint(condition=Q(opens__lt=F("closes")), name="working_calendar_opens_first"),
                    CheckConstraint(
                        condition=Q(weekdays__contained_by=[1, 2, 3, 4, 5, 6, 7]) & ~Q(weekdays=[]),
                        name="working_calendar_has_days",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Track",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "code",
                    models.CharField(
                        max_length=12,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z][a-z0-9-]*$",
                                "Lower-case letters, digits and hyphens; a letter first.",
                            )
                        ],
                        verbose_name="code",
                    ),
                ),
                ("name", core.names.NameField(max_length=60, verbose_name="name")),
                (
                    "quorum",
                    models.PositiveSmallIntegerField(
                        default=1,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(9),
                        ],
                        verbose_name="approvals needed",
                    ),
                ),
                (
                    "due_hours",
                    models.PositiveSmallIntegerField(
                        default=16,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000),
                        ],
                        verbose_name="due after working hours",
                    ),
                ),
                (
                    "calendar",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="tracks",
                        to="catalog.workingcalendar",
                        verbose_name="working calendar",
                    ),
                ),
            ],
            options={
                "verbose_name": "track",
                "verbose_name_plural": "tracks",
                "ordering": ["code"],
                "permissions": [("manage_track", "Change tracks, their calendars and who decides them")],
                "constraints": [
                    CheckConstraint(
                        condition=Q(core.names.OneLine(F("name"))), name="track_name_is_one_line"
                    ),
                    CheckConstraint(condition=Q(quorum__range=(1, 9)), name="track_wants_people"),
                    CheckConstraint(condition=Q(due_hours__range=(1, 1000)), name="track_is_due"),
                ],
            },
        ),
        migrations.RunSQL(TRACKS_OF_EARLIER_REVIEWS),
        migrations.AlterModelOptions(
            name="review", options={"verbose_name": "review", "verbose_name_plural": "reviews"}
        ),
        migrations.AlterField(
            model_name="review",
            name="track",
            field=models.ForeignKey(
                db_column="track",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="reviews",
                to="catalog.track",
                to_field="code",
                verbose_name="track",
            ),
        ),
        migrations.CreateModel(
            name="ReviewScope",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "track",
                    models.ForeignKey(
                        db_column="track",
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="scopes",
                        to="catalog.track",
                        to_field="code",
                        verbose_name="track",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="catalog.catalogmodel",
                        verbose_name="model",
                    ),
                ),
            ],
            options={
                "verbose_name": "review scope",
                "verbose_name_plural": "review scopes",
                "permissions": [("decide_review", "Decide reviews")],
                "constraints": [
                    UniqueConstraint(
                        fields=("track", "tenant", "model"), name="review_scope_once", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.RunSQL(MAY_DECIDE),
        migrations.RunSQL(WHO_DECIDES),
    ]

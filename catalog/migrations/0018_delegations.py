"""Reviewers delegate their scopes of a track for a while; four eyes count delegations in both directions."""

import django.core.validators
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import CheckConstraint, F, Q

import core.ids

# `catalog_may_decide` of 0007_tracks in parts, so that it can ask for the giver of a delegation, too.
# catalog/review_scopes.py asks the same. Time is that of the statement: a transaction may be older than a delegation.
MAY_DECIDE = """
CREATE FUNCTION catalog_reviews_by_role(person uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH held AS (
        SELECT d.id FROM auth_permission d JOIN django_content_type c ON c.id = d.content_type_id
         WHERE c.app_label = 'catalog' AND c.model = 'reviewscope' AND d.codename = 'decide_review'
    )
    SELECT EXISTS (
        SELECT FROM accounts_user p
         WHERE p.id = person AND p.is_active AND p.service_of_id IS NULL AND (
            (p.is_staff AND EXISTS (
                SELECT FROM accounts_user_groups g JOIN auth_group_permissions gp ON gp.group_id = g.group_id
                 WHERE g.user_id = p.id AND gp.permission_id IN (SELECT id FROM held)))
            OR EXISTS (
                SELECT FROM accounts_user_user_permissions o
                 WHERE o.user_id = p.id AND o.permission_id IN (SELECT id FROM held))))
$$;

CREATE FUNCTION catalog_has_scope(person uuid, of_track text, of_tenant uuid, of_model uuid)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH held AS (
        SELECT d.id FROM auth_permission d JOIN django_content_type c ON c.id = d.content_type_id
         WHERE c.app_label = 'catalog' AND c.model = 'reviewscope' AND d.codename = 'decide_review'
    )
    SELECT EXISTS (
        SELECT FROM catalog_reviewscope s
         WHERE s.track = of_track
           AND (s.tenant_id IS NULL OR s.tenant_id = of_tenant)
           AND (s.model_id IS NULL OR s.model_id = of_model)
           AND (EXISTS (
                    SELECT FROM guardian_userobjectpermission u
                     WHERE u.user_id = person AND u.object_pk = s.id::text
                       AND u.permission_id IN (SELECT id FROM held))
                OR EXISTS (
                    SELECT FROM guardian_groupobjectpermission u
                      JOIN accounts_user_groups g ON g.group_id = u.group_id
                     WHERE g.user_id = person AND u.object_pk = s.id::text
                       AND u.permission_id IN (SELECT id FROM held))))
$$;

-- The delegations of a track by which a person may decide now.
CREATE FUNCTION catalog_delegations_to(person uuid, of_track text)
    RETURNS SETOF catalog_reviewdelegation LANGUAGE sql STABLE AS $$
    SELECT d.* FROM catalog_reviewdelegation d
     WHERE d.receiver_id = person AND d.track = of_track AND d.ended_at IS NULL
       AND d.begins_at <= statement_timestamp() AND d.ends_at > statement_timestamp()
       AND catalog_reviews_by_role(d.giver_id)
$$;

CREATE OR REPLACE FUNCTION catalog_may_decide(person uuid, of_track text, of_tenant uuid, of_model uuid)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM accounts_user p
         WHERE p.id = person AND p.is_active AND p.service_of_id IS NULL AND p.is_superuser)
        OR (catalog_reviews_by_role(person) AND (
            catalog_has_scope(person, of_track, of_tenant, of_model)
            OR EXISTS (SELECT FROM catalog_delegations_to(person, of_track) d
                        WHERE catalog_has_scope(d.giver_id, of_track, of_tenant, of_model))))
$$;
"""

# A decision is by one right: the reviewer's own, or that of one giver, which the row then names, whatever the statement
# said. In a round each right decides once, so that a reviewer and their delegate are not two people. Whoever delegated
# to the person who asked, or to one who could act for the service account that asked, or the other way round, while
# the request was open, decides nothing about it.
BY_ONE_RIGHT = """
CREATE FUNCTION catalog_decides_by_one_right() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    review catalog_review;
    request catalog_accessrequest;
    giver uuid;
BEGIN
    SELECT * INTO review FROM catalog_review WHERE id = NEW.review_id FOR NO KEY UPDATE;
    SELECT * INTO request FROM catalog_accessrequest WHERE id = review.access_request_id;
    IF EXISTS (
        SELECT FROM catalog_reviewdelegation d
         WHERE d.track = review.track AND NEW.reviewer_id IN (d.giver_id, d.receiver_id)
           AND least(d.ended_at, d.ends_at) > greatest(d.begins_at, request.created_at)
           AND CASE NEW.reviewer_id WHEN d.giver_id THEN d.receiver_id ELSE d.giver_id END IN (
                SELECT request.requested_by_id
                UNION ALL SELECT a.responsible_id FROM accounts_user a WHERE a.id = request.requested_by_id
                UNION ALL SELECT r.person_id FROM catalog_requestdelegate r WHERE r.access_request_id = request.id))
    THEN
        RAISE EXCEPTION 'four eyes: who delegated to the person who asked, or received from them, may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    NEW.delegation_id := NULL;
    IF NOT EXISTS (SELECT FROM accounts_user p WHERE p.id = NEW.reviewer_id AND p.is_superuser)
       AND NOT catalog_has_scope(NEW.reviewer_id, review.track, review.tenant_id, request.model_id)
    THEN
        SELECT d.id, d.giver_id INTO NEW.delegation_id, giver
          FROM catalog_delegations_to(NEW.reviewer_id, review.track) d
         WHERE catalog_has_scope(d.giver_id, review.track, review.tenant_id, request.model_id)
         ORDER BY catalog_right_has_decided(d.giver_id, NEW.review_id, NEW.round), d.created_at, d.id
         LIMIT 1;
    END IF;
    IF NEW.verdict <> 'return'
       AND catalog_right_has_decided(coalesce(giver, NEW.reviewer_id), NEW.review_id, NEW.round) AND NOT EXISTS (
        SELECT FROM catalog_reviewdecision o
         WHERE o.review_id = NEW.review_id AND o.round = NEW.round AND o.reviewer_id = NEW.reviewer_id
           AND o.verdict <> 'return')
    THEN
        RAISE EXCEPTION 'four eyes: a reviewer and who decides in their place count as one person'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_once_per_right';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION catalog_right_has_decided(of_person uuid, review uuid, in_round integer) RETURNS boolean
    LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM catalog_reviewdecision o LEFT JOIN catalog_reviewdelegation d ON d.id = o.delegation_id
         WHERE o.review_id = review AND o.round = in_round AND o.verdict <> 'return' AND coalesce(d.giver_id, o.reviewer_id) = of_person)
$$;

CREATE TRIGGER review_decision_by_one_right BEFORE INSERT ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION catalog_decides_by_one_right();
"""

# A delegation is no longer than its track allows, and stays as it was made: it may end early, once, and not in the past.
DELEGATIONS_STAND = """
CREATE FUNCTION catalog_delegation_is_short() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.ended_at IS NOT NULL OR NEW.ends_at - NEW.begins_at > (
        SELECT make_interval(days => t.longest_delegation_days) FROM catalog_track t WHERE t.code = NEW.track)
    THEN
        RAISE EXCEPTION 'a delegation is no longer than its track allows'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_delegation_is_short';
    END IF;
    NEW.created_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER review_delegation_is_short BEFORE INSERT ON catalog_reviewdelegation
    FOR EACH ROW EXECUTE FUNCTION catalog_delegation_is_short();

CREATE FUNCTION catalog_delegation_only_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND OLD.ends_at > clock_timestamp()
       AND (NEW.id, NEW.track, NEW.giver_id, NEW.receiver_id, NEW.begins_at, NEW.ends_at, NEW.created_at)
           IS NOT DISTINCT FROM
           (OLD.id, OLD.track, OLD.giver_id, OLD.receiver_id, OLD.begins_at, OLD.ends_at, OLD.created_at)
    THEN
        NEW.ended_at := clock_timestamp();
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a delegation stays as it was made, but for its end'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'review_delegation_stands';
END $$;
CREATE TRIGGER review_delegation_only_ends BEFORE UPDATE ON catalog_reviewdelegation
    FOR EACH ROW EXECUTE FUNCTION catalog_delegation_only_ends();
CREATE TRIGGER review_delegation_is_kept BEFORE DELETE ON catalog_reviewdelegation
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("catalog", "0017_evaluations_of_requests_sent_again"),
    ]

    operations = [
        migrations.AddField(
            model_name="track",
            name="longest_delegation_days",
            field=models.PositiveSmallIntegerField(
                db_default=30,
                default=30,
                validators=[django.core.validators.MaxValueValidator(180)],
                verbose_name="longest delegation in days",
            ),
        ),
        migrations.AddConstraint(
            model_name="track",
            constraint=CheckConstraint(
                condition=Q(longest_delegation_days__lte=180), name="track_delegation_ends"
            ),
        ),
        migrations.CreateModel(
            name="ReviewDelegation",
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
                        related_name="delegations",
                        to="catalog.track",
                        to_field="code",
                        verbose_name="track",
                    ),
                ),
                (
                    "giver",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="delegated by",
                    ),
                ),
                (
                    "receiver",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="decides in their place",
                    ),
                ),
                ("begins_at", models.DateTimeField(verbose_name="begins")),
                ("ends_at", models.DateTimeField(verbose_name="ends")),
                ("ended_at", models.DateTimeField(editable=False, null=True, verbose_name="ended early")),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="created"
                    ),
                ),
            ],
            options={
                "verbose_name": "delegation",
                "verbose_name_plural": "delegations",
                "indexes": [models.Index(fields=["receiver", "track"], name="review_delegation_to")],
                "constraints": [
                    CheckConstraint(
                        condition=~Q(giver=F("receiver")), name="review_delegation_is_to_another"
                    ),
                    CheckConstraint(condition=Q(ends_at__gt=F("begins_at")), name="review_delegation_ends"),
                ],
            },
        ),
        migrations.AddField(
            model_name="reviewdecision",
            name="delegation",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="decisions",
                to="catalog.reviewdelegation",
            ),
        ),
        migrations.RunSQL(MAY_DECIDE),
        migrations.RunSQL(BY_ONE_RIGHT),
        migrations.RunSQL(DELEGATIONS_STAND),
    ]

"""Late reviews are escalated: people named for it on the scopes decide them, too."""

import django.core.validators
from django.db import migrations, models
from django.db.models import CheckConstraint, Index, Q

# As `catalog_has_scope` and `catalog_has_scopes`, for the right to decide what is escalated. An own right is one of all
# scopes that a request needs: to decide, or, once the review is escalated, to decide late.
LATE_RIGHTS = """
CREATE FUNCTION catalog_has_late_scope(person uuid, of_track text, of_tenant uuid, of_model uuid)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH held AS (
        SELECT d.id FROM auth_permission d JOIN django_content_type c ON c.id = d.content_type_id
         WHERE c.app_label = 'catalog' AND c.model = 'reviewscope' AND d.codename = 'decide_late_review'
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

CREATE FUNCTION catalog_has_own_right(person uuid, of_track text, of_request uuid)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT catalog_has_scopes(person, of_track, of_request)
        OR (EXISTS (SELECT FROM catalog_review r
                     WHERE r.access_request_id = of_request AND r.track = of_track AND r.escalated_at IS NOT NULL)
            AND (SELECT coalesce(bool_and(catalog_has_late_scope(person, of_track, i.tenant_id, i.model_id)), false)
                   FROM catalog_requestitem i WHERE i.access_request_id = of_request))
$$;

CREATE OR REPLACE FUNCTION catalog_may_decide_request(person uuid, of_track text, of_request uuid)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM accounts_user p
         WHERE p.id = person AND p.is_active AND p.service_of_id IS NULL AND p.is_superuser)
        OR (catalog_reviews_by_role(person) AND (
            catalog_has_own_right(person, of_track, of_request)
            OR EXISTS (SELECT FROM catalog_delegations_to(person, of_track) d
                        WHERE catalog_has_scopes(d.giver_id, of_track, of_request))))
$$;
"""

# As in 0028_recusals, with the own right of above.
DECISIONS = """
CREATE OR REPLACE FUNCTION catalog_decides_by_one_right() RETURNS trigger LANGUAGE plpgsql
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
    IF catalog_is_recused(NEW.reviewer_id, request.id) THEN
        RAISE EXCEPTION 'four eyes: who stepped back from a request decides none of its reviews'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    NEW.delegation_id := NULL;
    IF NOT EXISTS (SELECT FROM accounts_user p WHERE p.id = NEW.reviewer_id AND p.is_superuser)
       AND NOT catalog_has_own_right(NEW.reviewer_id, review.track, request.id)
    THEN
        SELECT d.id, d.giver_id INTO NEW.delegation_id, giver
          FROM catalog_delegations_to(NEW.reviewer_id, review.track) d
         WHERE catalog_has_scopes(d.giver_id, review.track, request.id)
           AND NOT catalog_is_recused(d.giver_id, request.id)
         ORDER BY catalog_right_has_decided(d.giver_id, NEW.review_id, NEW.round), d.created_at, d.id
         LIMIT 1;
    END IF;
    -- The only rights that would cover it are of people who stepped back.
    IF NEW.delegation_id IS NULL AND NOT EXISTS (
            SELECT FROM accounts_user p WHERE p.id = NEW.reviewer_id AND p.is_superuser)
       AND NOT catalog_has_own_right(NEW.reviewer_id, review.track, request.id)
       AND catalog_may_decide_request(NEW.reviewer_id, review.track, request.id)
    THEN
        RAISE EXCEPTION 'four eyes: nobody decides in the place of who stepped back from a request'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
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
"""

# A review is escalated once, while it is open and after it was due. Asked again or due anew, it can be once more.
ESCALATED = """
CREATE FUNCTION catalog_review_is_escalated_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR NEW.state <> 'pending' OR OLD.escalated_at IS NOT NULL
       OR NEW.due_at IS DISTINCT FROM OLD.due_at OR NEW.round IS DISTINCT FROM OLD.round
       OR OLD.due_at > clock_timestamp()
    THEN
        RAISE EXCEPTION 'a review is escalated after it was due'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_is_escalated_late';
    END IF;
    NEW.escalated_at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER review_begins_not_escalated BEFORE INSERT ON catalog_review
    FOR EACH ROW WHEN (NEW.escalated_at IS NOT NULL) EXECUTE FUNCTION catalog_review_is_escalated_late();
CREATE TRIGGER review_is_escalated_late BEFORE UPDATE ON catalog_review
    FOR EACH ROW WHEN (NEW.escalated_at IS NOT NULL AND NEW.escalated_at IS DISTINCT FROM OLD.escalated_at)
    EXECUTE FUNCTION catalog_review_is_escalated_late();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0028_recusals")]

    operations = [
        migrations.AlterModelOptions(
            name="reviewscope",
            options={
                "permissions": [
                    ("decide_review", "Decide reviews"),
                    ("decide_late_review", "Decide reviews that are escalated"),
                ],
                "verbose_name": "review scope",
                "verbose_name_plural": "review scopes",
            },
        ),
        migrations.AddField(
            model_name="track",
            name="escalates_after_hours",
            field=models.PositiveSmallIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MaxValueValidator(1000)],
                verbose_name="escalates after working hours",
            ),
        ),
        migrations.AddConstraint(
            model_name="track",
            constraint=CheckConstraint(
                condition=Q(escalates_after_hours=None) | Q(escalates_after_hours__lte=1000),
                name="track_escalates",
            ),
        ),
        migrations.AddField(
            model_name="review",
            name="escalated_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="escalated"),
        ),
        migrations.AddIndex(
            model_name="review",
            index=Index(
                fields=["due_at"],
                condition=Q(state="pending", escalated_at=None),
                name="review_to_escalate",
            ),
        ),
        migrations.RunSQL(LATE_RIGHTS),
        migrations.RunSQL(DECISIONS),
        migrations.RunSQL(ESCALATED),
    ]

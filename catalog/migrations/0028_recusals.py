"""Reviewers step back from a request: then they decide none of its reviews, and nobody in their place."""

import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.models import CheckConstraint, Q, UniqueConstraint

import core.ids

# A recusal is of an open request, in whose reviews no approval of this person's right stands: reviews that they have
# approved are first asked again. It locks the reviews as a decision does, so that the two see each other.
RECUSALS = """
ALTER TABLE catalog_reviewrecusal ADD CONSTRAINT review_recusal_request_of_tenant
    FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION catalog_is_recused(of_person uuid, request uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM catalog_reviewrecusal r
                    WHERE r.person_id = of_person AND r.access_request_id = request)
$$;

CREATE FUNCTION catalog_recusal_is_of_open_request() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM catalog_review r WHERE r.access_request_id = NEW.access_request_id ORDER BY r.id FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT FROM catalog_accessrequest q
                    WHERE q.id = NEW.access_request_id AND q.state IN ('pending', 'returned'))
    THEN
        RAISE EXCEPTION 'nobody steps back from a request that is decided'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_recusal_of_open_request';
    END IF;
    IF EXISTS (
        SELECT FROM catalog_reviewdecision o
          JOIN catalog_review r ON r.id = o.review_id AND r.round = o.round
          LEFT JOIN catalog_reviewdelegation d ON d.id = o.delegation_id
         WHERE r.access_request_id = NEW.access_request_id AND o.verdict = 'approve'
           AND NEW.person_id IN (o.reviewer_id, d.giver_id))
    THEN
        RAISE EXCEPTION 'who steps back leaves no approval: the review is asked again first'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_recusal_leaves_no_approval';
    END IF;
    NEW.at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER review_recusal_of_open_request BEFORE INSERT ON catalog_reviewrecusal
    FOR EACH ROW EXECUTE FUNCTION catalog_recusal_is_of_open_request();
CREATE TRIGGER review_recusal_append_only BEFORE UPDATE OR DELETE ON catalog_reviewrecusal
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# As in 0024_request_items; who stepped back does not decide, nor does anybody by their right.
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
       AND NOT catalog_has_scopes(NEW.reviewer_id, review.track, request.id)
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
       AND NOT catalog_has_scopes(NEW.reviewer_id, review.track, request.id)
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


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0027_how_long_reviews_take"),
        ("tenants", "0009_roles_say_what_one_may"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ReviewRecusal",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
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
                        related_name="recusals",
                        to="catalog.accessrequest",
                        verbose_name="access request",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
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
            ],
            options={
                "verbose_name": "recusal",
                "verbose_name_plural": "recusals",
                "abstract": False,
                "constraints": [
                    UniqueConstraint(fields=["access_request", "person"], name="review_recusal_once"),
                    CheckConstraint(condition=~Q(reason=""), name="review_recusal_has_reason"),
                ],
            },
            managers=[
                ("unscoped", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunSQL(RECUSALS),
        migrations.RunSQL(DECISIONS),
    ]

"""A reviewer can return a request for changes; its requester changes it and sends it again.

While it is returned nobody decides it. What was asked may change only when it is sent again, and whoever approved it
before approved at least as much: otherwise the review is first asked again, in another round. All of it holds for
superusers and raw SQL too.
"""

from django.db import migrations, models
from django.db.models import CheckConstraint, Q, UniqueConstraint

# Whether the second asks for anything that the first does not cover: another purpose, a higher class of data, more
# tokens, more days, or a limit that is higher or gone.
ASKS_MORE = """
CREATE FUNCTION catalog_asks_more(was catalog_accessrequest, wants catalog_accessrequest)
    RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT was.purpose <> wants.purpose
        OR coalesce(array_position(ARRAY['public', 'internal', 'confidential', 'restricted'], wants.data_class::text), 9)
         > coalesce(array_position(ARRAY['public', 'internal', 'confidential', 'restricted'], was.data_class::text), 0)
        OR wants.expected_tokens_per_day > was.expected_tokens_per_day
        OR wants.duration_days > was.duration_days
        OR EXISTS (SELECT FROM jsonb_each_text(was.limits) one
                    WHERE NOT wants.limits ? one.key
                       OR (wants.limits ->> one.key)::numeric > one.value::numeric)
$$;
"""

# As in 0005_four_eyes; only a request that is sent again may ask for something else.
THE_REQUEST_STANDS = """
CREATE OR REPLACE FUNCTION catalog_requester_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'returned' AND NEW.state = 'pending'
       AND (OLD.tenant_id, OLD.project_id, OLD.model_id, OLD.requested_by_id, OLD.created_at)
           IS NOT DISTINCT FROM (NEW.tenant_id, NEW.project_id, NEW.model_id, NEW.requested_by_id, NEW.created_at)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'four eyes: who asked for access, and for what, cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_requester_is_for_good';
END $$;
"""

# As in 0006_states_follow_decisions. A request is returned when a reviewer has asked for changes since it was sent, and
# is then sent again or withdrawn.
REQUESTS = """
CREATE OR REPLACE FUNCTION catalog_request_follows_reviews() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' OR NEW.decided_at IS NOT NULL OR NEW.resent_at IS NOT NULL THEN
            RAISE EXCEPTION 'an access request begins in review'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_begins_open';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state NOT IN ('pending', 'returned') THEN
        RAISE EXCEPTION 'an access request that is % stays as it is', OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_is_decided';
    END IF;
    IF OLD.state = 'returned' AND NEW.state = 'pending' THEN
        IF catalog_asks_more(OLD, NEW) AND EXISTS (
            SELECT FROM catalog_reviewdecision d JOIN catalog_review r ON r.id = d.review_id AND r.round = d.round
             WHERE r.access_request_id = NEW.id AND d.verdict = 'approve')
        THEN
            RAISE EXCEPTION 'an approval covers no more than what was asked when it was given'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_asks_no_more';
        END IF;
        NEW.resent_at := clock_timestamp();
        RETURN NEW;
    END IF;
    IF NEW.state NOT IN ('pending', 'approved', 'rejected', 'withdrawn', 'returned')
       OR OLD.state = 'returned' AND NEW.state NOT IN ('returned', 'withdrawn')
       OR NEW.resent_at IS DISTINCT FROM OLD.resent_at
    THEN
        RAISE EXCEPTION 'an access request that is % does not become % so', OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_follows_reviews';
    END IF;
    IF OLD.state = 'pending' AND NEW.state = 'returned' AND NOT EXISTS (
        SELECT FROM catalog_reviewdecision d JOIN catalog_review r ON r.id = d.review_id AND r.round = d.round
         WHERE r.access_request_id = NEW.id AND d.verdict = 'return'
           AND (OLD.resent_at IS NULL OR d.at > OLD.resent_at))
    THEN
        RAISE EXCEPTION 'an access request is returned when a reviewer asks for changes'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_follows_reviews';
    END IF;
    IF NEW.state = 'approved' AND (
        NOT EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = NEW.id)
        OR EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = NEW.id AND NOT catalog_is_approved(r)))
    THEN
        RAISE EXCEPTION 'an access request is approved when every review of it is, by enough people'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_follows_reviews';
    END IF;
    IF NEW.state = 'rejected' AND NOT EXISTS (
        SELECT FROM catalog_review r WHERE r.access_request_id = NEW.id AND r.state = 'rejected')
    THEN
        RAISE EXCEPTION 'an access request is refused when a review of it is'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_follows_reviews';
    END IF;
    RETURN NEW;
END $$;
"""

# As in 0006_states_follow_decisions. A review may also be asked again while its request is returned.
REVIEWS = """
CREATE OR REPLACE FUNCTION catalog_review_follows_decisions() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    request_state text := (SELECT q.state FROM catalog_accessrequest q WHERE q.id = NEW.access_request_id);
    is_right boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        is_right := NEW.state = 'pending' AND NEW.decided_at IS NULL AND NEW.round = 1 AND request_state = 'pending';
    ELSIF NEW.round <> OLD.round THEN  -- asked again
        is_right := NEW.round = OLD.round + 1 AND OLD.state IN ('pending', 'approved') AND NEW.state = 'pending'
            AND request_state IN ('pending', 'returned');
    ELSIF NEW.state = OLD.state THEN
        is_right := OLD.state = 'pending' OR NEW IS NOT DISTINCT FROM OLD;
    ELSIF OLD.state <> 'pending' THEN
        is_right := false;
    ELSIF NEW.state = 'approved' THEN
        is_right := request_state = 'pending' AND catalog_is_approved(NEW) AND NOT EXISTS (
            SELECT FROM catalog_reviewdecision d
             WHERE d.review_id = NEW.id AND d.round = NEW.round AND d.verdict = 'reject');
    ELSIF NEW.state = 'rejected' THEN
        is_right := request_state = 'pending' AND EXISTS (
            SELECT FROM catalog_reviewdecision d
             WHERE d.review_id = NEW.id AND d.round = NEW.round AND d.verdict = 'reject');
    ELSE
        is_right := NEW.state = 'cancelled' AND request_state IN ('rejected', 'withdrawn');
    END IF;
    IF is_right IS NOT TRUE THEN
        RAISE EXCEPTION 'a review begins open and follows the decisions of its round'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_follows_decisions';
    END IF;
    RETURN NEW;
END $$;
"""

# As in 0004_who_could_act_for_the_requester: a returned request is open, too.
DELEGATES = """
CREATE OR REPLACE FUNCTION catalog_keep_delegate(person uuid, as_what text, of_tenant uuid, of_account uuid) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO catalog_requestdelegate (id, tenant_id, access_request_id, person_id, capacity, created_at)
    SELECT gen_random_uuid(), q.tenant_id, q.id, p.id, as_what, now()
      FROM catalog_accessrequest q
      JOIN accounts_user a ON a.id = q.requested_by_id AND a.service_of_id IS NOT NULL
      JOIN accounts_user p ON p.id = person AND p.service_of_id IS NULL
     WHERE q.state IN ('pending', 'returned') AND (of_tenant IS NULL OR q.tenant_id = of_tenant)
       AND (of_account IS NULL OR a.id = of_account)
        ON CONFLICT DO NOTHING
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0013_what_lists_sort_by")]

    operations = [
        migrations.AddField(
            "accessrequest",
            "resent_at",
            models.DateTimeField(verbose_name="sent again", null=True, editable=False),
        ),
        migrations.RemoveConstraint("accessrequest", "access_request_decided_unless_open"),
        migrations.RemoveConstraint("accessrequest", "access_request_one_open"),
        migrations.RemoveConstraint("reviewdecision", "review_decision_one_per_person"),
        migrations.AlterField(
            "accessrequest",
            "state",
            models.CharField(
                choices=[
                    ("pending", "In review"),
                    ("approved", "Approved"),
                    ("rejected", "Rejected"),
                    ("withdrawn", "Withdrawn"),
                    ("returned", "Changes wanted"),
                ],
                default="pending",
                max_length=10,
                verbose_name="state",
            ),
        ),
        migrations.AlterField(
            "reviewdecision",
            "verdict",
            models.CharField(
                choices=[("approve", "Approve"), ("reject", "Reject"), ("return", "Ask for changes")],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            "ruleevaluation",
            "occasion",
            models.CharField(
                choices=[
                    ("raised", "requested"),
                    ("resent", "sent again with changes"),
                    ("decided", "a review was decided"),
                    ("facts_changed", "facts had changed"),
                    ("carried", "recorded by an earlier release"),
                ],
                max_length=13,
                verbose_name="occasion",
            ),
        ),
        migrations.AddConstraint(
            "accessrequest",
            CheckConstraint(
                condition=Q(state__in=["pending", "withdrawn", "returned"]) | Q(decided_at__isnull=False),
                name="access_request_decided_unless_open",
            ),
        ),
        migrations.AddConstraint(
            "accessrequest",
            UniqueConstraint(
                fields=["project", "model"],
                condition=Q(state__in=["pending", "returned"]),
                name="access_request_one_open",
            ),
        ),
        migrations.AddConstraint(
            "reviewdecision",
            UniqueConstraint(
                fields=["review", "reviewer", "round"],
                condition=~Q(verdict="return"),
                name="review_decision_one_per_person",
            ),
        ),
        migrations.RunSQL(ASKS_MORE),
        migrations.RunSQL(THE_REQUEST_STANDS),
        migrations.RunSQL(REQUESTS),
        migrations.RunSQL(REVIEWS),
        migrations.RunSQL(DELEGATES),
    ]

"""The states of requests, reviews and grants follow from decisions, for superusers and raw SQL too.

A request begins open, and is approved when each of its reviews is; a review is approved by enough people in its present
round, each of whom decides its track and is neither the asker nor could act for it. What is decided stays as it is:
a review alone is asked again, in another round, while its request is open. Nothing of this is deleted.

Open requests of before get the facts that hold now, which is all that is known; so do the decisions on them.
"""

from django.db import migrations

OF_BEFORE = """
UPDATE catalog_accessrequest q SET facts = jsonb_build_object(
    'expected_monthly_cost', q.expected_monthly_cost::text, 'currency', q.currency, 'risk_tier', m.risk_tier,
    'data_class', q.data_class, 'is_new_to_project', NOT EXISTS (
        SELECT FROM catalog_grant g WHERE g.project_id = q.project_id AND g.model_id = q.model_id))
  FROM catalog_catalogmodel m WHERE m.id = q.model_id AND q.state = 'pending';
ALTER TABLE catalog_reviewdecision DISABLE TRIGGER review_decision_append_only;
UPDATE catalog_reviewdecision d SET facts = q.facts
  FROM catalog_review r JOIN catalog_accessrequest q ON q.id = r.access_request_id
 WHERE r.id = d.review_id AND q.state = 'pending';
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE catalog_reviewdecision ENABLE TRIGGER review_decision_append_only;
"""

REQUESTS = """
CREATE FUNCTION catalog_request_follows_reviews() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.state <> 'pending' OR NEW.decided_at IS NOT NULL THEN
            RAISE EXCEPTION 'an access request begins in review'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_begins_open';
        END IF;
        RETURN NEW;
    END IF;
    IF OLD.state <> 'pending' THEN
        RAISE EXCEPTION 'an access request that is % stays as it is', OLD.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_is_decided';
    END IF;
    IF NEW.state NOT IN ('pending', 'approved', 'rejected', 'withdrawn') THEN
        RAISE EXCEPTION 'an access request is never %', NEW.state
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

CREATE FUNCTION catalog_is_approved(r catalog_review) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = public, pg_temp AS $$
    SELECT r.state = 'approved' AND r.quorum > 0 AND r.quorum <= (
        SELECT count(*) FROM catalog_reviewdecision d
         WHERE d.review_id = r.id AND d.round = r.round AND d.verdict = 'approve')
$$;

CREATE TRIGGER access_request_follows_reviews BEFORE INSERT OR UPDATE ON catalog_accessrequest
    FOR EACH ROW EXECUTE FUNCTION catalog_request_follows_reviews();
CREATE TRIGGER access_request_is_kept BEFORE DELETE ON catalog_accessrequest
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
DROP TRIGGER access_request_requester_is_for_good ON catalog_accessrequest;
CREATE TRIGGER access_request_requester_is_for_good
    BEFORE UPDATE OF tenant_id, project_id, model_id, requested_by_id, purpose, data_class, expected_tokens_per_day,
        limits, duration_days, created_at ON catalog_accessrequest
    FOR EACH ROW WHEN (
        (OLD.tenant_id, OLD.project_id, OLD.model_id, OLD.requested_by_id, OLD.purpose, OLD.data_class,
         OLD.expected_tokens_per_day, OLD.limits, OLD.duration_days, OLD.created_at)
        IS DISTINCT FROM
        (NEW.tenant_id, NEW.project_id, NEW.model_id, NEW.requested_by_id, NEW.purpose, NEW.data_class,
         NEW.expected_tokens_per_day, NEW.limits, NEW.duration_days, NEW.created_at))
    EXECUTE FUNCTION catalog_requester_is_for_good();
"""
REQUESTS_BACKWARDS = """
DROP TRIGGER access_request_requester_is_for_good ON catalog_accessrequest;
CREATE TRIGGER access_request_requester_is_for_good
    BEFORE UPDATE OF tenant_id, project_id, model_id, requested_by_id ON catalog_accessrequest
    FOR EACH ROW WHEN ((OLD.tenant_id, OLD.project_id, OLD.model_id, OLD.requested_by_id)
        IS DISTINCT FROM (NEW.tenant_id, NEW.project_id, NEW.model_id, NEW.requested_by_id))
    EXECUTE FUNCTION catalog_requester_is_for_good();
DROP TRIGGER access_request_is_kept ON catalog_accessrequest;
DROP TRIGGER access_request_follows_reviews ON catalog_accessrequest;
DROP FUNCTION catalog_is_approved(catalog_review);
DROP FUNCTION catalog_request_follows_reviews();
"""

REVIEWS = """
CREATE FUNCTION catalog_review_follows_decisions() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    request_state text := (SELECT q.state FROM catalog_accessrequest q WHERE q.id = NEW.access_request_id);
    is_right boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        is_right := NEW.state = 'pending' AND NEW.decided_at IS NULL AND NEW.round = 1 AND request_state = 'pending';
    ELSIF NEW.round <> OLD.round THEN  -- asked again
        is_right := NEW.round = OLD.round + 1 AND OLD.state IN ('pending', 'approved') AND NEW.state = 'pending'
            AND request_state = 'pending';
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
CREATE TRIGGER review_follows_decisions BEFORE INSERT OR UPDATE ON catalog_review
    FOR EACH ROW EXECUTE FUNCTION catalog_review_follows_decisions();
CREATE TRIGGER review_is_kept BEFORE DELETE ON catalog_review
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""
REVIEWS_BACKWARDS = """
DROP TRIGGER review_is_kept ON catalog_review;
DROP TRIGGER review_follows_decisions ON catalog_review;
DROP FUNCTION catalog_review_follows_decisions();
"""

DECISIONS = """
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
    IF NOT EXISTS (
        SELECT FROM accounts_user p WHERE p.id = NEW.reviewer_id AND p.is_active AND p.service_of_id IS NULL
           AND (p.is_superuser OR EXISTS (
            SELECT FROM auth_permission d JOIN django_content_type c ON c.id = d.content_type_id
             WHERE d.codename = 'review_' || review.track AND c.app_label = 'catalog'
               AND (p.is_staff AND EXISTS (
                        SELECT FROM accounts_user_groups g JOIN auth_group_permissions gp ON gp.group_id = g.group_id
                         WHERE g.user_id = p.id AND gp.permission_id = d.id)
                    OR EXISTS (SELECT FROM accounts_user_user_permissions o
                                WHERE o.user_id = p.id AND o.permission_id = d.id)))))
    THEN
        RAISE EXCEPTION 'four eyes: who decides no % reviews decides none here', review.track
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_by_reviewers';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION catalog_reviewer_is_not_requester() FROM PUBLIC;
"""
DECISIONS_BACKWARDS = """
CREATE OR REPLACE FUNCTION catalog_reviewer_is_not_requester() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM catalog_review r
          JOIN catalog_accessrequest q ON q.id = r.access_request_id
          JOIN accounts_user u ON u.id = q.requested_by_id
         WHERE r.id = NEW.review_id AND NEW.reviewer_id IN (u.id, u.responsible_id)
    ) THEN
        RAISE EXCEPTION 'four eyes: the person who asked for access may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    RETURN NEW;
END $$;
"""

GRANTS = """
CREATE OR REPLACE FUNCTION catalog_grant_has_its_reviews() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM catalog_accessrequest q
                    WHERE q.id = NEW.access_request_id AND q.state = 'approved'
                      AND q.project_id = NEW.project_id AND q.model_id = NEW.model_id
                      AND q.tenant_id = NEW.tenant_id
                      AND NEW.valid_until <= q.decided_at + make_interval(hours => 24 * q.duration_days))
       OR NOT EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = NEW.access_request_id)
       OR EXISTS (SELECT FROM catalog_review r
                   WHERE r.access_request_id = NEW.access_request_id AND NOT catalog_is_approved(r))
    THEN
        RAISE EXCEPTION 'a grant needs its approved request, with every review decided by enough people, and ends with it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'grant_has_its_reviews';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION catalog_grant_has_its_reviews() FROM PUBLIC;
DROP TRIGGER grant_has_its_reviews ON catalog_grant;
CREATE TRIGGER grant_has_its_reviews
    BEFORE INSERT OR UPDATE OF tenant_id, project_id, model_id, access_request_id, valid_until ON catalog_grant
    FOR EACH ROW EXECUTE FUNCTION catalog_grant_has_its_reviews();

CREATE FUNCTION catalog_grant_stays_revoked() RETURNS trigger LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'a revoked grant stays revoked'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'grant_stays_revoked';
END $$;
CREATE TRIGGER grant_stays_revoked BEFORE UPDATE OF revoked_at ON catalog_grant
    FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
    EXECUTE FUNCTION catalog_grant_stays_revoked();
CREATE TRIGGER grant_is_kept BEFORE DELETE ON catalog_grant FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""
GRANTS_BACKWARDS = """
CREATE OR REPLACE FUNCTION catalog_grant_has_its_reviews() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM catalog_accessrequest q
                    WHERE q.id = NEW.access_request_id AND q.state = 'approved'
                      AND q.project_id = NEW.project_id AND q.model_id = NEW.model_id
                      AND q.tenant_id = NEW.tenant_id)
       OR NOT EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = NEW.access_request_id)
       OR EXISTS (SELECT FROM catalog_review r
                   WHERE r.access_request_id = NEW.access_request_id
                     AND (r.state <> 'approved'
                          OR (SELECT count(*) FROM catalog_reviewdecision d
                               WHERE d.review_id = r.id AND d.verdict = 'approve') < r.quorum))
    THEN
        RAISE EXCEPTION 'a grant needs its approved request, with every review decided by enough people'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'grant_has_its_reviews';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER grant_is_kept ON catalog_grant;
DROP TRIGGER grant_stays_revoked ON catalog_grant;
DROP FUNCTION catalog_grant_stays_revoked();
DROP TRIGGER grant_has_its_reviews ON catalog_grant;
CREATE TRIGGER grant_has_its_reviews
    BEFORE INSERT OR UPDATE OF tenant_id, project_id, model_id, access_request_id ON catalog_grant
    FOR EACH ROW EXECUTE FUNCTION catalog_grant_has_its_reviews();
"""
FOR_TRIGGERS_ALONE = """
REVOKE ALL ON FUNCTION catalog_request_follows_reviews() FROM PUBLIC;
REVOKE ALL ON FUNCTION catalog_review_follows_decisions() FROM PUBLIC;
REVOKE ALL ON FUNCTION catalog_is_approved(catalog_review) FROM PUBLIC;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0010_four_eyes_then_and_now")]
    operations = [
        migrations.RunSQL(OF_BEFORE, migrations.RunSQL.noop),
        migrations.RunSQL(REQUESTS, REQUESTS_BACKWARDS),
        migrations.RunSQL(REVIEWS, REVIEWS_BACKWARDS),
        migrations.RunSQL(DECISIONS, DECISIONS_BACKWARDS),
        migrations.RunSQL(GRANTS, GRANTS_BACKWARDS),
        migrations.RunSQL(FOR_TRIGGERS_ALONE, migrations.RunSQL.noop),
    ]

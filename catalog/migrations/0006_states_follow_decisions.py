"""The states of requests, reviews and grants follow from decisions, for superusers and raw SQL too.

A request begins open, and is approved when all its reviews are. What is decided stays as it is, with one exception: a
review may be asked again, in another round, while its request is open. Nothing of this is deleted.
"""

from django.db import migrations

# A review is approved by enough people in its present round. An approval stops counting once the person who gave it is
# noted as a delegate of the service account that asked. Such a review keeps its state until the next decision asks it
# again, but its request cannot be approved meanwhile.
APPROVAL = """
CREATE FUNCTION catalog_is_approved(r catalog_review) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT r.state = 'approved' AND r.quorum > 0 AND r.quorum <= (
        SELECT count(*) FROM catalog_reviewdecision d
         WHERE d.review_id = r.id AND d.round = r.round AND d.verdict = 'approve' AND NOT EXISTS (
            SELECT FROM catalog_requestdelegate s
             WHERE s.access_request_id = r.access_request_id AND s.person_id = d.reviewer_id))
$$;
"""

# A request begins in review, is approved when every review is, is rejected when one is, and then stays as it is.
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
CREATE TRIGGER access_request_follows_reviews BEFORE INSERT OR UPDATE ON catalog_accessrequest
    FOR EACH ROW EXECUTE FUNCTION catalog_request_follows_reviews();
CREATE TRIGGER access_request_is_kept BEFORE DELETE ON catalog_accessrequest
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# A request ends within minutes of the database's clock. The period of its grant begins there.
DECIDED_NOW = """
CREATE FUNCTION catalog_decided_now() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what is decided is decided now, not at %', NEW.decided_at
        USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_is_decided_now';
END $$;
CREATE TRIGGER access_request_is_decided_now BEFORE UPDATE OF decided_at ON catalog_accessrequest
    FOR EACH ROW WHEN (NEW.decided_at IS DISTINCT FROM OLD.decided_at
        AND NEW.decided_at NOT BETWEEN clock_timestamp() - interval '15 minutes'
                                   AND clock_timestamp() + interval '15 minutes')
    EXECUTE FUNCTION catalog_decided_now();
"""

# A review begins open and follows the decisions of its round. A review that is open or approved may be asked again, in
# the next round, while its request is open. A review is cancelled only after its request was rejected or withdrawn.
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

# A grant stands on its approved request and all its reviews, is for the same project and model, and ends no later than
# the request says. A revoked grant stays revoked.
GRANTS = """
CREATE FUNCTION catalog_grant_has_its_reviews() RETURNS trigger LANGUAGE plpgsql
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
CREATE TRIGGER grant_has_its_reviews
    BEFORE INSERT OR UPDATE OF tenant_id, project_id, model_id, access_request_id, valid_until ON catalog_grant
    FOR EACH ROW EXECUTE FUNCTION catalog_grant_has_its_reviews();

CREATE FUNCTION catalog_grant_stays_revoked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a revoked grant stays revoked'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'grant_stays_revoked';
END $$;
CREATE TRIGGER grant_stays_revoked BEFORE UPDATE OF revoked_at ON catalog_grant
    FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
    EXECUTE FUNCTION catalog_grant_stays_revoked();
CREATE TRIGGER grant_is_kept BEFORE DELETE ON catalog_grant
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0005_four_eyes")]

    operations = [
        migrations.RunSQL(APPROVAL),
        migrations.RunSQL(REQUESTS),
        migrations.RunSQL(DECIDED_NOW),
        migrations.RunSQL(REVIEWS),
        migrations.RunSQL(GRANTS),
    ]

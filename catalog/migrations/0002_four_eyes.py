"""Four eyes in the database: no requester decides their own request, and no grant stands without its reviews.

Written as triggers, because each rule looks at two tables; they hold for superusers and raw SQL too.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION catalog_reviewer_is_not_requester() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE requester uuid;
BEGIN
    SELECT q.requested_by_id INTO requester
      FROM catalog_review r JOIN catalog_accessrequest q ON q.id = r.access_request_id
     WHERE r.id = NEW.review_id;
    IF requester = NEW.reviewer_id THEN
        RAISE EXCEPTION 'four eyes: the person who asked for access may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER review_decision_four_eyes BEFORE INSERT ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION catalog_reviewer_is_not_requester();
CREATE TRIGGER review_decision_append_only BEFORE UPDATE OR DELETE ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION catalog_requester_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'four eyes: who asked for access, and for what, cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_requester_is_for_good';
END $$;
CREATE TRIGGER access_request_requester_is_for_good
    BEFORE UPDATE OF tenant_id, project_id, model_id, requested_by_id ON catalog_accessrequest
    FOR EACH ROW WHEN ((OLD.tenant_id, OLD.project_id, OLD.model_id, OLD.requested_by_id)
        IS DISTINCT FROM (NEW.tenant_id, NEW.project_id, NEW.model_id, NEW.requested_by_id))
    EXECUTE FUNCTION catalog_requester_is_for_good();

CREATE FUNCTION catalog_review_is_of_one_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'four eyes: a review keeps its request and its track, and never wants fewer people'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'review_is_of_one_request';
END $$;
CREATE TRIGGER review_is_of_one_request
    BEFORE UPDATE OF access_request_id, track, quorum ON catalog_review
    FOR EACH ROW WHEN ((OLD.access_request_id, OLD.track) IS DISTINCT FROM (NEW.access_request_id, NEW.track)
        OR NEW.quorum < OLD.quorum)
    EXECUTE FUNCTION catalog_review_is_of_one_request();

CREATE FUNCTION catalog_grant_has_its_reviews() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER grant_has_its_reviews
    BEFORE INSERT OR UPDATE OF tenant_id, project_id, model_id, access_request_id ON catalog_grant
    FOR EACH ROW EXECUTE FUNCTION catalog_grant_has_its_reviews();
"""
BACKWARDS = """
DROP TRIGGER grant_has_its_reviews ON catalog_grant;
DROP FUNCTION catalog_grant_has_its_reviews();
DROP TRIGGER review_is_of_one_request ON catalog_review;
DROP FUNCTION catalog_review_is_of_one_request();
DROP TRIGGER access_request_requester_is_for_good ON catalog_accessrequest;
DROP FUNCTION catalog_requester_is_for_good();
DROP TRIGGER review_decision_append_only ON catalog_reviewdecision;
DROP TRIGGER review_decision_four_eyes ON catalog_reviewdecision;
DROP FUNCTION catalog_reviewer_is_not_requester();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0001_initial"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
    ]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]

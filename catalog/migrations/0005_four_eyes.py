"""Four eyes: nobody decides about their own request, nor about one of a service account they could act for.

The rules are triggers, because they read several tables. They hold for superusers and raw SQL too. Functions that read
other rows run with the rights of the tables' owner: they see every row, whatever row-level security hides from the
caller.
"""

from django.db import migrations

# Who asked, and for what, stays as it was asked.
THE_REQUEST_STANDS = """
CREATE FUNCTION catalog_requester_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'four eyes: who asked for access, and for what, cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_requester_is_for_good';
END $$;
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

# A review keeps its request and its track, and never wants fewer people than before.
THE_REVIEW_STANDS = """
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
"""

# A decision is by an active person with the permission for its track, in the present round of an open review. The
# person is not the requester, does not answer for the requester, is not noted as a delegate, and cannot act for the
# requester now.
WHO_DECIDES = """
CREATE FUNCTION catalog_reviewer_is_not_requester() RETURNS trigger LANGUAGE plpgsql
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
CREATE TRIGGER review_decision_four_eyes BEFORE INSERT ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION catalog_reviewer_is_not_requester();
"""

# A token or emergency access that worked at any moment since the request was made bars its person by its own row. This
# does not rest on the notes of delegates, which two transactions that do not see each other can miss.
WHO_COULD_ACT_SINCE = """
CREATE FUNCTION catalog_acted_since(q catalog_accessrequest, person uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM accounts_user a WHERE a.id = q.requested_by_id AND a.service_of_id IS NOT NULL) AND (
        EXISTS (SELECT FROM tenants_personalaccesstoken t
                 WHERE t.user_id = q.requested_by_id AND t.issued_by_id = person
                   AND least(t.revoked_at, t.expires_at) >= q.created_at)
        OR EXISTS (SELECT FROM tenants_emergencyaccess e
                    WHERE e.tenant_id = q.tenant_id AND e.opened_by_id = person
                      AND least(e.ended_at, e.expires_at) >= q.created_at))
$$;

CREATE FUNCTION catalog_nobody_decides_for_their_program() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM catalog_review r JOIN catalog_accessrequest q ON q.id = r.access_request_id
         WHERE r.id = NEW.review_id AND catalog_acted_since(q, NEW.reviewer_id))
    THEN
        RAISE EXCEPTION 'four eyes: who could act for the service account that asked may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER review_decision_of_no_program BEFORE INSERT ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION catalog_nobody_decides_for_their_program();
"""

# A decision has the time of the database, and stays as it was made.
DECISIONS_STAND = """
CREATE FUNCTION catalog_decision_has_its_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER review_decision_has_its_time BEFORE INSERT ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION catalog_decision_has_its_time();
CREATE TRIGGER review_decision_append_only BEFORE UPDATE OR DELETE ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0004_who_could_act_for_the_requester")]

    operations = [
        migrations.RunSQL(THE_REQUEST_STANDS),
        migrations.RunSQL(THE_REVIEW_STANDS),
        migrations.RunSQL(WHO_DECIDES),
        migrations.RunSQL(WHO_COULD_ACT_SINCE),
        migrations.RunSQL(DECISIONS_STAND),
    ]

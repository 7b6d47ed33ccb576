"""A request that needs no review is approved at once if the rules say so; the database evaluates them itself."""

from django.db import migrations

# Whether a rule's conditions hold for the facts of an evaluation: catalog/rule_table.py, in SQL.
RULES_IN_SQL = """
CREATE FUNCTION catalog_rule_holds(r catalog_rule, said jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT (r.usage = '' OR (r.usage = 'new') = (said ->> 'is_new_to_project')::boolean)
       AND (r.risk_tiers = '{}' OR said ->> 'risk_tier' = ANY (r.risk_tiers))
       AND (r.data_classes = '{}' OR said ->> 'data_class' = ANY (r.data_classes))
       AND (r.of_tenant IS NULL OR said ->> 'tenant' = r.of_tenant::text)
       AND (r.cost_above IS NULL OR said ->> 'expected_monthly_cost' IS NULL
            OR (said ->> 'expected_monthly_cost')::numeric > r.cost_above)
       AND (r.cost_up_to IS NULL OR said ->> 'expected_monthly_cost' IS NOT NULL
            AND (said ->> 'expected_monthly_cost')::numeric <= r.cost_up_to)
       AND (r.outside_regions = '{}' OR NOT EXISTS (
            SELECT FROM jsonb_array_elements_text(said -> 'regions') here, unnest(r.outside_regions) wide
             WHERE here = wide OR starts_with(here, wide || '-')))
       AND (r.limit_kind = '' OR said -> 'limits' ->> r.limit_kind IS NULL
            OR (said -> 'limits' ->> r.limit_kind)::numeric > r.limit_above)
$$;
"""

# An evaluation that approves is what the rules in force say about the request as it is, and its model as it is: a rule
# that approves holds, and none that requires a review or rejects. The expected cost is the one that the request shows;
# the database does not know the prices.
EVALUATIONS_ARE_OF_THE_RULES_IN_FORCE = """
CREATE FUNCTION catalog_rules_approve(version text, q catalog_accessrequest, said jsonb)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH held AS (
        SELECT r.outcome, r.longest_days FROM catalog_rule r JOIN catalog_ruleset s ON s.id = r.rule_set_id
         WHERE s.version = catalog_rules_approve.version AND catalog_rule_holds(r, said)
    )
    SELECT EXISTS (SELECT FROM held WHERE outcome = 'automatic')
       AND NOT EXISTS (SELECT FROM held WHERE outcome IN ('review', 'reject')
                           OR outcome = 'duration' AND longest_days < q.duration_days)
       AND NOT EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = q.id)
       AND EXISTS (
        SELECT FROM catalog_catalogmodel m WHERE m.id = q.model_id
           AND said @> jsonb_build_object(
               'risk_tier', m.risk_tier, 'regions', m.regions, 'data_class', q.data_class, 'tenant', q.tenant_id,
               'limits', q.limits, 'duration_days', q.duration_days, 'is_new_to_project', NOT EXISTS (
                   SELECT FROM catalog_grant g WHERE g.project_id = q.project_id AND g.model_id = q.model_id))
           AND said -> 'limits' = q.limits AND said -> 'regions' = to_jsonb(m.regions)
           AND (said ->> 'expected_monthly_cost')::numeric IS NOT DISTINCT FROM q.expected_monthly_cost)
$$;

CREATE OR REPLACE FUNCTION catalog_evaluation_is_of_rules() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    request catalog_accessrequest;
BEGIN
    SELECT * INTO request FROM catalog_accessrequest q WHERE q.id = NEW.access_request_id;
    PERFORM FROM catalog_ruleset s WHERE s.version = NEW.rule_version AND s.state = 'in_force' FOR SHARE;
    IF NOT FOUND OR NEW.occasion = 'carried' OR request.state IS DISTINCT FROM 'pending' THEN
        RAISE EXCEPTION 'an evaluation is of the rules in force, and of an open request'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rule_evaluation_is_of_rules';
    END IF;
    IF NEW.answer = 'automatic' AND NEW.occasion = 'raised'
       AND catalog_rules_approve(NEW.rule_version, request, NEW.inputs) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'the rules in force do not approve this request'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rule_evaluation_is_automatic';
    END IF;
    RETURN NEW;
END $$;
"""

# A request is approved when all its reviews are; or, if it has none, when the rules approve it, and `since` then: in
# the same transaction. Its grant comes whenever.
APPROVED = """
CREATE FUNCTION catalog_may_be_approved(request uuid, since timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = request)
        THEN NOT EXISTS (SELECT FROM catalog_review r
                          WHERE r.access_request_id = request AND NOT catalog_is_approved(r))
        ELSE coalesce((
            SELECT e.answer = 'automatic' AND e.occasion = 'raised' AND e.at >= since
              FROM catalog_ruleevaluation e WHERE e.access_request_id = request ORDER BY e.at DESC, e.id DESC LIMIT 1
        ), false) END
$$;
"""

# As in 0014_changes_wanted, with the question above.
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
    IF NEW.state = 'approved' AND NOT catalog_may_be_approved(NEW.id, transaction_timestamp()) THEN
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

# As in 0006_states_follow_decisions, with the question above.
GRANTS = """
CREATE OR REPLACE FUNCTION catalog_grant_has_its_reviews() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM catalog_accessrequest q
                    WHERE q.id = NEW.access_request_id AND q.state = 'approved'
                      AND q.project_id = NEW.project_id AND q.model_id = NEW.model_id
                      AND q.tenant_id = NEW.tenant_id
                      AND NEW.valid_until <= q.decided_at + make_interval(hours => 24 * q.duration_days))
       OR NOT catalog_may_be_approved(NEW.access_request_id, '-infinity')
    THEN
        RAISE EXCEPTION 'a grant needs its approved request, with every review decided by enough people, and ends with it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'grant_has_its_reviews';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0019_who_sees_a_model")]

    operations = [
        migrations.RunSQL(RULES_IN_SQL),
        migrations.RunSQL(EVALUATIONS_ARE_OF_THE_RULES_IN_FORCE),
        migrations.RunSQL(APPROVED),
        migrations.RunSQL(REQUESTS),
        migrations.RunSQL(GRANTS),
    ]

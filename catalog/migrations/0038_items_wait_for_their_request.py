"""Items wait for whoever changes their request, and a grant is of an item that the rules considered."""

from django.db import migrations

# As in 0024_request_items, with the request locked first: what is asked of it and of its reviews then stays true until
# the item is written. Actions lock the request before its items, too. An item begins without a key.
ITEMS = """
CREATE OR REPLACE FUNCTION catalog_item_stands() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    request_state text;
BEGIN
    SELECT q.state INTO request_state FROM catalog_accessrequest q WHERE q.id = NEW.access_request_id
       FOR NO KEY UPDATE;
    IF TG_OP = 'INSERT' THEN
        IF request_state IS DISTINCT FROM 'pending' OR NEW.key_id IS NOT NULL
           OR EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = NEW.access_request_id)
           OR EXISTS (SELECT FROM catalog_ruleevaluation e WHERE e.access_request_id = NEW.access_request_id)
        THEN
            RAISE EXCEPTION 'nothing is added to a request that people decide'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'request_item_stands';
        END IF;
        NEW.is_open := true;
    ELSIF (OLD.id, OLD.tenant_id, OLD.access_request_id, OLD.project_id, OLD.model_id)
          IS DISTINCT FROM (NEW.id, NEW.tenant_id, NEW.access_request_id, NEW.project_id, NEW.model_id)
          OR request_state <> 'returned' AND (OLD.data_class, OLD.expected_tokens_per_day, OLD.limits)
             IS DISTINCT FROM (NEW.data_class, NEW.expected_tokens_per_day, NEW.limits)
          OR NEW.is_open IS DISTINCT FROM (request_state IN ('pending', 'returned'))
          OR NOT NEW.is_open AND (OLD.expected_monthly_cost, OLD.currency)
             IS DISTINCT FROM (NEW.expected_monthly_cost, NEW.currency)
          OR NEW.key_id IS DISTINCT FROM OLD.key_id AND (request_state <> 'approved'
             OR EXISTS (SELECT FROM catalog_grant g WHERE g.item_id = NEW.id))
    THEN
        RAISE EXCEPTION 'what was requested cannot be changed afterwards'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'request_item_stands';
    END IF;
    IF TG_OP = 'UPDATE' AND catalog_item_asks_more(OLD, NEW) AND EXISTS (
        SELECT FROM catalog_reviewdecision d JOIN catalog_review r ON r.id = d.review_id AND r.round = d.round
         WHERE r.access_request_id = NEW.access_request_id AND d.verdict = 'approve')
    THEN
        RAISE EXCEPTION 'an approval covers no more than what was asked when it was given'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_asks_no_more';
    END IF;
    IF NEW.key_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM tenants_apikey k WHERE k.id = NEW.key_id AND k.project_id = NEW.project_id)
    THEN
        RAISE EXCEPTION 'the key of an item is one of its project'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'request_item_key_of_project';
    END IF;
    RETURN NEW;
END $$;
"""

# As in 0024_request_items, for an item that the rules saw when they last ran. The single item of an earlier release has
# the id of its request, and may have been considered without its facts being kept.
GRANTS = """
CREATE OR REPLACE FUNCTION catalog_grant_has_its_reviews() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    request catalog_accessrequest;
    considered jsonb;
BEGIN
    SELECT q.* INTO request FROM catalog_requestitem i JOIN catalog_accessrequest q ON q.id = i.access_request_id
     WHERE i.id = NEW.item_id AND i.key_id IS NOT NULL
       AND (i.tenant_id, i.project_id, i.model_id) = (NEW.tenant_id, NEW.project_id, NEW.model_id);
    SELECT e.inputs INTO considered FROM catalog_ruleevaluation e WHERE e.access_request_id = request.id
     ORDER BY e.at DESC, e.id DESC LIMIT 1;
    considered := coalesce(considered, '{}');
    IF request.state IS DISTINCT FROM 'approved'
       OR NEW.valid_until > request.decided_at + make_interval(hours => 24 * request.duration_days)
       OR NOT catalog_may_be_approved(request.id, '-infinity')
       OR NOT (considered ? NEW.item_id::text OR considered = '{}' AND NEW.item_id = request.id)
    THEN
        RAISE EXCEPTION 'a grant needs its approved request, with every review decided by enough people, and ends with it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'grant_has_its_reviews';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0037_evaluation_scores")]

    operations = [migrations.RunSQL(ITEMS), migrations.RunSQL(GRANTS)]

"""When something was decided is the database's to say: a decision is of now, and a request ends within minutes of now.

A grant lasts as long as its request says, from then on.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION catalog_decision_has_its_time() RETURNS trigger LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
BEGIN
    NEW.at := clock_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER review_decision_has_its_time BEFORE INSERT ON catalog_reviewdecision
    FOR EACH ROW EXECUTE FUNCTION catalog_decision_has_its_time();

CREATE FUNCTION catalog_decided_now() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
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
BACKWARDS = """
DROP TRIGGER access_request_is_decided_now ON catalog_accessrequest;
DROP FUNCTION catalog_decided_now();
DROP TRIGGER review_decision_has_its_time ON catalog_reviewdecision;
DROP FUNCTION catalog_decision_has_its_time();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0015_delegates_by_rights_of_groups")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]

"""An evaluation of a request that is sent again is one of the rules in force, as the others are."""

from django.db import migrations

# As in 0016_rule_sets, for every occasion on which rules run.
EVALUATIONS_ARE_OF_THE_RULES_IN_FORCE = """
CREATE OR REPLACE FUNCTION catalog_evaluation_is_of_rules() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM catalog_ruleset s WHERE s.version = NEW.rule_version AND s.state = 'in_force' FOR SHARE;
    IF NOT FOUND OR NEW.occasion = 'carried' OR NOT EXISTS (
        SELECT FROM catalog_accessrequest q WHERE q.id = NEW.access_request_id AND q.state = 'pending')
    THEN
        RAISE EXCEPTION 'an evaluation is of the rules in force, and of an open request'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'rule_evaluation_is_of_rules';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0016_rule_sets")]

    operations = [migrations.RunSQL(EVALUATIONS_ARE_OF_THE_RULES_IN_FORCE)]

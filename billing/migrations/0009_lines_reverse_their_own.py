"""A cost line reverses a line of its own tenant. Lines are never changed, so looking once, as one is added, is enough.

A foreign key over both columns would want another index on a table that only grows; reversals are rare.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION cost_line_reverses_its_own() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM cost_line WHERE id = NEW.reverses_id AND tenant_id = NEW.tenant_id) THEN
        RAISE EXCEPTION 'a cost line reverses a line of its own tenant, and % is none', NEW.reverses_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'cost_line_reverses_its_own';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cost_line_reverses_its_own BEFORE INSERT ON cost_line
    FOR EACH ROW WHEN (NEW.reverses_id IS NOT NULL) EXECUTE FUNCTION cost_line_reverses_its_own();
"""
BACKWARDS = """
DROP TRIGGER cost_line_reverses_its_own ON cost_line;
DROP FUNCTION cost_line_reverses_its_own();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_whose_usage_was_set_aside")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]

"""Whether somebody is a person or a program, and of which tenant, is said once: four eyes rest on it.

Without it, a row of the console's could make a program a person while it asked, and nobody would have spoken for it.
"""

from django.db import migrations

FOR_GOOD = """
CREATE FUNCTION tenants_program_is_for_good() RETURNS trigger LANGUAGE plpgsql
    SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'four eyes: whether somebody is a person or a service account, and of which tenant, '
        'cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'user_program_is_for_good';
END $$;
CREATE TRIGGER user_program_is_for_good BEFORE UPDATE OF id, service_of_id ON tenants_user
    FOR EACH ROW WHEN ((OLD.id, OLD.service_of_id) IS DISTINCT FROM (NEW.id, NEW.service_of_id))
    EXECUTE FUNCTION tenants_program_is_for_good();
"""
NOT_FOR_GOOD = """
DROP TRIGGER user_program_is_for_good ON tenants_user;
DROP FUNCTION tenants_program_is_for_good();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0030_look_alikes_of_one_script")]

    operations = [migrations.RunSQL(FOR_GOOD, NOT_FOR_GOOD)]

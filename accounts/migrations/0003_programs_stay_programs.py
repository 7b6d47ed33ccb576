"""Four eyes rest on who is a person and who is a program, so that is said once, for superusers and raw SQL too."""

from django.db import migrations

# An account stays a person, or stays a service account of the same tenant.
FOR_GOOD = """
CREATE FUNCTION tenants_program_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'four eyes: whether somebody is a person or a service account, and of which tenant, '
        'cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'user_program_is_for_good';
END $$;
CREATE TRIGGER user_program_is_for_good BEFORE UPDATE OF id, service_of_id ON accounts_user
    FOR EACH ROW WHEN ((OLD.id, OLD.service_of_id) IS DISTINCT FROM (NEW.id, NEW.service_of_id))
    EXECUTE FUNCTION tenants_program_is_for_good();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_of_tenants")]

    operations = [migrations.RunSQL(FOR_GOOD)]

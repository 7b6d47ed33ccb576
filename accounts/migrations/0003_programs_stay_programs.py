"""Whether an account is a person or a program, and of which tenant, is for good."""

from django.db import migrations

PROGRAMS = """
CREATE FUNCTION tenants_program_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'four eyes: whether somebody is a person or a service account, and of which tenant, '
        'cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'user_program_is_for_good';
END $$;
CREATE TRIGGER user_program_is_for_good BEFORE UPDATE OF id, service_of_id ON accounts_user
    FOR EACH ROW
    WHEN (((old.id IS DISTINCT FROM new.id) OR (old.service_of_id IS DISTINCT FROM new.service_of_id)))
    EXECUTE FUNCTION tenants_program_is_for_good();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_initial")]

    operations = [
        migrations.RunSQL(PROGRAMS, migrations.RunSQL.noop),
    ]

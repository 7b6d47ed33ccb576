"""A token whose issuer nobody names is issued by its owner, or by whoever answers for the account that owns it."""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION tenants_token_has_an_issuer() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    SELECT CASE WHEN u.service_of_id IS NULL THEN u.id ELSE u.responsible_id END INTO NEW.issued_by_id
      FROM tenants_user u WHERE u.id = NEW.user_id;
    RETURN NEW;
END $$;
CREATE TRIGGER token_has_an_issuer BEFORE INSERT ON tenants_personalaccesstoken
    FOR EACH ROW WHEN (NEW.issued_by_id IS NULL) EXECUTE FUNCTION tenants_token_has_an_issuer();
"""
BACKWARDS = """
DROP TRIGGER token_has_an_issuer ON tenants_personalaccesstoken;
DROP FUNCTION tenants_token_has_an_issuer();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0023_addresses_in_one_form")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]

"""The requester chooses the key that gets a requested model; without one, approval makes it."""

import django.db.models.deletion
from django.db import migrations, models

# The chosen key is one of the item's project, and the requester's own: theirs, made for them to claim, or of a service
# account that they answer for. It is chosen with the item, for good.
WHOSE_KEY = """
ALTER TABLE catalog_requestitem ADD CONSTRAINT request_item_into_key_of_tenant
    FOREIGN KEY (tenant_id, into_key_id) REFERENCES tenants_apikey (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION catalog_item_goes_into_own_key() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR NOT EXISTS (
        SELECT FROM tenants_apikey k
          JOIN catalog_accessrequest q ON q.id = NEW.access_request_id
          JOIN accounts_user o ON o.id = k.owner_id
         WHERE k.id = NEW.into_key_id AND k.project_id = NEW.project_id AND k.state <> 'revoked'
           AND q.requested_by_id IN (o.id, o.responsible_id))
    THEN
        RAISE EXCEPTION 'a requested model goes into a key of its project that is the requester''s'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'request_item_into_own_key';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_item_into_own_key BEFORE INSERT ON catalog_requestitem
    FOR EACH ROW WHEN (NEW.into_key_id IS NOT NULL) EXECUTE FUNCTION catalog_item_goes_into_own_key();
CREATE TRIGGER request_item_into_key_is_for_good BEFORE UPDATE OF into_key_id ON catalog_requestitem
    FOR EACH ROW WHEN (OLD.into_key_id IS DISTINCT FROM NEW.into_key_id)
    EXECUTE FUNCTION catalog_item_goes_into_own_key();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0032_imports_are_entries")]

    operations = [
        migrations.AddField(
            model_name="requestitem",
            name="into_key",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.apikey",
                verbose_name="key that gets the model",
            ),
        ),
        migrations.RunSQL(WHOSE_KEY),
    ]

"""When an audit entry was written is the database's to say, and so are its id and its salt, whoever inserts it.

A checkpoint takes the clock, the times of its entries, and nothing but entries that wait for one. What waits leaves the
queue together with its checkpoint. A transaction that held an entry back for more than ten minutes is not committed:
the entry would stand behind checkpoints that are younger than it.
"""

from django.db import migrations, models

import tenants.models.audit

FUNCTIONS = """
-- A UUID of version 7 of that moment: milliseconds, 12 bits of their fraction, 62 random bits (RFC 9562).
CREATE FUNCTION audit_entry_id(moment timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = public, pg_temp AS $$
    SELECT (lpad(to_hex(us / 1000), 12, '0') || '7' || lpad(to_hex(us % 1000 * 4096 / 1000), 3, '0')
            || substr(replace(gen_random_uuid()::text, '-', ''), 17))::uuid
      FROM (SELECT (extract(epoch FROM moment) * 1000000)::bigint AS us) epoch
$$;
"""
TRIGGERS = """
CREATE FUNCTION audit_entry_has_its_time() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    NEW.at := clock_timestamp();
    NEW.id := audit_entry_id(NEW.at);
    NEW.salt := uuid_send(gen_random_uuid());
    NEW.leaf_salts := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_entry_has_its_time BEFORE INSERT ON tenants_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_has_its_time();

CREATE FUNCTION audit_entry_is_not_held_back() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.at < clock_timestamp() - interval '10 minutes' THEN
        RAISE EXCEPTION 'audit entry % is ten minutes old before it is committed: make the transaction shorter', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audit_entry_is_not_held_back AFTER INSERT ON tenants_auditentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_entry_is_not_held_back();

CREATE OR REPLACE FUNCTION audit_guard_seal() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first timestamptz;
    last timestamptz;
    found bigint;
BEGIN
    IF NEW.number <> coalesce((SELECT max(number) FROM tenants_auditseal), 0) + 1
       OR NEW.previous <> coalesce((SELECT sha256 FROM tenants_auditseal WHERE number = NEW.number - 1),
                                   decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'seal % does not continue the chain', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.sealed_at NOT BETWEEN clock_timestamp() - interval '5 minutes' AND clock_timestamp() THEN
        RAISE EXCEPTION 'seal % is of another time than now', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT min(e.at), max(e.at), count(*) INTO first, last, found
      FROM unnest(NEW.entry_ids) one (id)
      JOIN tenants_auditentry e ON e.id = one.id
      JOIN tenants_auditunsealed u ON u.entry_id = one.id;
    IF found <> cardinality(NEW.entry_ids) OR octet_length(NEW.entry_digests) <> 32 * found OR found = 0
       OR (NEW.first_at, NEW.last_at) IS DISTINCT FROM (first, last) THEN
        RAISE EXCEPTION 'seal % is not of entries that wait for one', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION audit_waits_until_sealed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone JOIN tenants_auditentry e ON e.id = gone.entry_id
         WHERE gone.entry_id NOT IN (SELECT unnest(entry_ids) FROM tenants_auditseal
                                      WHERE number = (SELECT max(number) FROM tenants_auditseal))
    ) THEN
        RAISE EXCEPTION 'an audit entry waits until it is sealed' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_waits_until_sealed AFTER DELETE ON tenants_auditunsealed
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_waits_until_sealed();
"""
BACKWARDS = """
DROP TRIGGER audit_waits_until_sealed ON tenants_auditunsealed;
DROP TRIGGER audit_entry_is_not_held_back ON tenants_auditentry;
DROP TRIGGER audit_entry_has_its_time ON tenants_auditentry;
DROP FUNCTION audit_waits_until_sealed, audit_entry_is_not_held_back, audit_entry_has_its_time;
CREATE OR REPLACE FUNCTION audit_guard_seal() RETURNS trigger LANGUAGE plpgsql
SECURITY INVOKER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.number <> coalesce((SELECT max(number) FROM tenants_auditseal), 0) + 1
       OR NEW.previous <> coalesce((SELECT sha256 FROM tenants_auditseal WHERE number = NEW.number - 1),
                                   decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'seal % does not continue the chain', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0021_tokens_know_who_issued_them")]
    operations = [
        migrations.RunSQL(FUNCTIONS, "DROP FUNCTION audit_entry_id"),
        migrations.AlterField(
            model_name="auditentry",
            name="id",
            field=models.UUIDField(
                db_default=tenants.models.audit.NewEntryId(),
                editable=False,
                primary_key=True,
                serialize=False,
            ),
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="at",
            field=models.DateTimeField(db_default=tenants.models.audit.ClockTime(), editable=False),
        ),
        migrations.RunSQL(TRIGGERS, BACKWARDS),
    ]

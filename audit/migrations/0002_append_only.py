"""Entries of the audit log are appended, proved by a chain of hashes, and leave only as docs/audit.md says.

These rules hold whoever writes, superusers and raw SQL included. The functions run with the rights of the tables'
owner, so the console needs less than it is given by default. These grants suffice:

    SELECT, INSERT                  audit_auditentry, audit_auditcheckpoint
    SELECT, DELETE                  audit_auditpending
    SELECT                          audit_auditredaction, audit_auditpruning
    SELECT, INSERT, UPDATE          audit_auditanchor
    SELECT, INSERT, UPDATE, DELETE  audit_staffread
    EXECUTE                         audit_redact, audit_prune
"""

from django.db import migrations

# The database sets the time, the id and the salt of an entry, whoever inserts it. A transaction that held an entry back
# for more than ten minutes is not committed: checkpoints younger than the entry would already stand.
TIME = """
CREATE FUNCTION audit_entry_has_its_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.at := clock_timestamp();
    NEW.id := audit_entry_id(NEW.at);
    NEW.salt := uuid_send(gen_random_uuid());
    NEW.leaf_salts := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_entry_has_its_time BEFORE INSERT ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_has_its_time();

CREATE FUNCTION audit_entry_is_not_held_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.at < clock_timestamp() - interval '10 minutes' THEN
        RAISE EXCEPTION 'audit entry % is ten minutes old before it is committed: make the transaction shorter', NEW.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER audit_entry_is_not_held_back AFTER INSERT ON audit_auditentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_entry_is_not_held_back();
"""

# An entry waits in a queue until a checkpoint, the next link of the chain, holds it, and leaves the queue together with that
# checkpoint. A checkpoint continues the chain, takes the time of the database and the times of its entries, and holds only entries
# that wait for one.
CHAIN = """
CREATE FUNCTION audit_wait_for_checkpoint() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO audit_auditpending (entry_id) SELECT id FROM fresh;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_entry_waits_for_checkpoint AFTER INSERT ON audit_auditentry
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION audit_wait_for_checkpoint();

CREATE FUNCTION audit_pending_until_checkpoint() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone JOIN audit_auditentry e ON e.id = gone.entry_id
         WHERE gone.entry_id NOT IN (SELECT unnest(entry_ids) FROM audit_auditcheckpoint
                                      WHERE number = (SELECT max(number) FROM audit_auditcheckpoint))
    ) THEN
        RAISE EXCEPTION 'an audit entry waits until a checkpoint holds it' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_pending_until_checkpoint AFTER DELETE ON audit_auditpending
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_pending_until_checkpoint();

CREATE FUNCTION audit_guard_checkpoint() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first timestamptz;
    last timestamptz;
    found bigint;
BEGIN
    IF NEW.number <> coalesce((SELECT max(number) FROM audit_auditcheckpoint), 0) + 1
       OR NEW.previous <> coalesce((SELECT sha256 FROM audit_auditcheckpoint WHERE number = NEW.number - 1),
                                   decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'checkpoint % does not continue the chain', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.created_at NOT BETWEEN clock_timestamp() - interval '5 minutes' AND clock_timestamp() THEN
        RAISE EXCEPTION 'checkpoint % is of another time than now', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    SELECT min(e.at), max(e.at), count(*) INTO first, last, found
      FROM unnest(NEW.entry_ids) one (id)
      JOIN audit_auditentry e ON e.id = one.id
      JOIN audit_auditpending u ON u.entry_id = one.id;
    IF found <> cardinality(NEW.entry_ids) OR octet_length(NEW.entry_digests) <> 32 * found OR found = 0
       OR (NEW.first_at, NEW.last_at) IS DISTINCT FROM (first, last) THEN
        RAISE EXCEPTION 'checkpoint % is not of entries that wait for one', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_checkpoint_continues BEFORE INSERT ON audit_auditcheckpoint
    FOR EACH ROW EXECUTE FUNCTION audit_guard_checkpoint();
CREATE TRIGGER audit_checkpoint_append_only BEFORE UPDATE OR DELETE ON audit_auditcheckpoint
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# The words of a person may be erased from an entry, under a record that says so. Everything else of an entry stands.
REDACTION = """
-- True if two JSON values differ only in words that the token replaces.
CREATE FUNCTION audit_only_erased(before jsonb, after jsonb, token text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF before = after THEN
        RETURN true;
    ELSIF jsonb_typeof(before) IS DISTINCT FROM jsonb_typeof(after) THEN
        RETURN false;
    ELSIF jsonb_typeof(before) = 'string' THEN
        RETURN after = to_jsonb(token);
    ELSIF jsonb_typeof(before) = 'object' THEN
        RETURN (SELECT count(*) FROM jsonb_object_keys(before)) = (SELECT count(*) FROM jsonb_object_keys(after))
           AND (SELECT bool_and(after ? b.key AND audit_only_erased(b.value, after -> b.key, token))
                  FROM jsonb_each(before) b);
    ELSIF jsonb_typeof(before) = 'array' THEN
        RETURN jsonb_array_length(before) = jsonb_array_length(after)
           AND (SELECT bool_and(audit_only_erased(b.value, after -> (b.place::int - 1), token))
                  FROM jsonb_array_elements(before) WITH ORDINALITY AS b (value, place));
    END IF;
    RETURN false;
END $$;

-- An entry changes only where words give way to the token of a redaction of that entry.
CREATE FUNCTION audit_guard_update() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.tenant_id, NEW.at, NEW.actor_id, NEW.acting_as, NEW.on_behalf_of_id, NEW.verb, NEW.subject_type,
        NEW.subject_id, NEW.request_id, NEW.trace_id)
       IS NOT DISTINCT FROM
       (OLD.id, OLD.tenant_id, OLD.at, OLD.actor_id, OLD.acting_as, OLD.on_behalf_of_id, OLD.verb, OLD.subject_type,
        OLD.subject_id, OLD.request_id, OLD.trace_id)
       AND NEW.salt = ''::bytea
       AND (NEW.address IS NULL OR NEW.address = OLD.address)
       AND NEW.user_agent IN (OLD.user_agent, '')
       AND EXISTS (
           SELECT FROM audit_auditredaction r
            WHERE r.entry_id = OLD.id
              AND NEW.actor_label IN (OLD.actor_label, r.token)
              AND NEW.on_behalf_of_label IN (OLD.on_behalf_of_label, r.token)
              AND NEW.reason IN (OLD.reason, r.token)
              AND NEW.subject_label IN (OLD.subject_label, r.token)
              AND audit_only_erased(OLD.details, NEW.details, r.token)
              AND audit_only_erased(OLD.changes, NEW.changes, r.token)
       )
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit_auditentry rows are append-only: UPDATE is refused' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE ON audit_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_guard_update();

-- Erase words of one entry, under a record that the caller has made in the same transaction.
CREATE FUNCTION audit_redact(
    the_entry uuid, the_record uuid, the_token text, the_commitments jsonb, the_words jsonb, the_salts jsonb
) RETURNS void LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM audit_auditentry WHERE id = the_record AND verb = 'audit.redacted'
                      AND at > now() - interval '1 hour') THEN
        RAISE EXCEPTION 'a redaction needs its record' USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO audit_auditredaction (entry_id, record_id, token, commitments)
    VALUES (the_entry, the_record, the_token, the_commitments);
    UPDATE audit_auditentry
       SET actor_label = the_words ->> 'actor_label', on_behalf_of_label = the_words ->> 'on_behalf_of_label',
           reason = the_words ->> 'reason', subject_label = the_words ->> 'subject_label',
           details = the_words -> 'details', changes = the_words -> 'changes',
           address = (the_words ->> 'address')::inet, user_agent = the_words ->> 'user_agent',
           salt = ''::bytea, leaf_salts = the_salts
     WHERE id = the_entry;
END $$;
CREATE TRIGGER audit_redaction_append_only BEFORE UPDATE OR DELETE ON audit_auditredaction
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# Entries are deleted by whole checkpoints, when all entries of a checkpoint are at least 180 days old, under a record that says so.
# The checkpoints stay.
RETENTION = """
-- An entry is deleted only if a pruning covers its checkpoint.
CREATE FUNCTION audit_guard_delete() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g
         WHERE g.at > now() - interval '180 days'
            OR NOT EXISTS (
               SELECT FROM (
                   SELECT unnest(s.entry_ids) AS id FROM audit_auditcheckpoint s
                    WHERE s.number <= (SELECT max(up_to_checkpoint) FROM audit_auditpruning)
                      AND s.last_at >= (SELECT min(at) FROM gone)
               ) pruned WHERE pruned.id = g.id
            )
    ) THEN
        RAISE EXCEPTION 'audit_auditentry rows are append-only: DELETE is refused'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit_entry_kept AFTER DELETE ON audit_auditentry
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_guard_delete();

-- Delete the entries of every checkpoint up to one.
CREATE FUNCTION audit_prune(the_checkpoint bigint, the_record uuid) RETURNS bigint LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    earlier bigint := coalesce((SELECT max(up_to_checkpoint) FROM audit_auditpruning), 0);
    deleted bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM audit_auditentry WHERE id = the_record AND verb = 'audit.pruned'
                      AND (details ->> 'up_to_checkpoint')::bigint = the_checkpoint) THEN
        RAISE EXCEPTION 'a pruning needs its record' USING ERRCODE = 'restrict_violation';
    END IF;
    IF the_checkpoint <= earlier OR EXISTS (SELECT FROM audit_auditcheckpoint WHERE number > earlier AND number <= the_checkpoint
                                         AND last_at > now() - interval '180 days') THEN
        RAISE EXCEPTION 'entries are kept for at least 180 days' USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO audit_auditpruning (up_to_checkpoint, record_id, pruned_at) VALUES (the_checkpoint, the_record, now());
    DELETE FROM audit_auditentry e
     USING (SELECT unnest(entry_ids) AS id FROM audit_auditcheckpoint WHERE number > earlier AND number <= the_checkpoint) s
     WHERE e.id = s.id;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;
CREATE TRIGGER audit_pruning_append_only BEFORE UPDATE OR DELETE ON audit_auditpruning
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

# What staff read, by person, tenant and hour: a row only grows, and stays for at least 180 days, like an entry.
STAFF_READS = """
CREATE FUNCTION staff_read_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (NEW.id, NEW.person_id, NEW.tenant_id, NEW.hour) IS NOT DISTINCT FROM
           (OLD.id, OLD.person_id, OLD.tenant_id, OLD.hour)
           AND NEW.kinds @> OLD.kinds
           AND (OLD.entry_id IS NULL OR NEW.entry_id IS NOT DISTINCT FROM OLD.entry_id) THEN
            RETURN NEW;
        END IF;
    ELSIF OLD.hour < now() - interval '180 days' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'what staff read only grows: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER staff_read_only_grows BEFORE UPDATE OR DELETE ON audit_staffread
    FOR EACH ROW EXECUTE FUNCTION staff_read_only_grows();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0001_functions"),
        ("audit", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(TIME),
        migrations.RunSQL(CHAIN),
        migrations.RunSQL(REDACTION),
        migrations.RunSQL(RETENTION),
        migrations.RunSQL(STAFF_READS),
    ]

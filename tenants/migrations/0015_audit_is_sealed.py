"""Audit entries wait for their seal, and only a recorded redaction or pruning may touch them, whoever asks.

The functions run with their owner's rights, so the console needs less than it is given by default. Grants that
suffice: SELECT, INSERT on tenants_auditentry and tenants_auditseal; SELECT, DELETE on tenants_auditunsealed;
SELECT on tenants_auditredaction and tenants_auditpruning; SELECT, INSERT, UPDATE on tenants_auditsealexport;
EXECUTE on audit_redact and audit_prune.
"""

from django.db import migrations

FORWARDS = """
CREATE FUNCTION audit_wait_for_seal() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO tenants_auditunsealed (entry_id) SELECT id FROM fresh;
    RETURN NULL;
END $$;

CREATE TRIGGER audit_entry_waits_for_seal AFTER INSERT ON tenants_auditentry
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION audit_wait_for_seal();

INSERT INTO tenants_auditunsealed (entry_id) SELECT id FROM tenants_auditentry;

-- Whether two JSON values differ in nothing but words that the token stands for.
CREATE FUNCTION audit_only_erased(before jsonb, after jsonb, token text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE SET search_path = public, pg_temp AS $$
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
           SELECT FROM tenants_auditredaction r
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
    RAISE EXCEPTION 'tenants_auditentry rows are append-only: UPDATE is refused' USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION audit_guard_delete() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM gone g
         WHERE g.at > now() - interval '180 days'
            OR NOT EXISTS (
               SELECT FROM (
                   SELECT unnest(s.entry_ids) AS id FROM tenants_auditseal s
                    WHERE s.number <= (SELECT max(up_to_seal) FROM tenants_auditpruning)
                      AND s.last_at >= (SELECT min(at) FROM gone)
               ) pruned WHERE pruned.id = g.id
            )
    ) THEN
        RAISE EXCEPTION 'tenants_auditentry rows are append-only: DELETE is refused'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

DROP TRIGGER audit_entry_append_only ON tenants_auditentry;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE ON tenants_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_guard_update();
CREATE TRIGGER audit_entry_kept AFTER DELETE ON tenants_auditentry
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit_guard_delete();

-- Erase words of one entry, under a record that the caller has made in the same transaction.
CREATE FUNCTION audit_redact(
    the_entry uuid, the_record uuid, the_token text, the_commitments jsonb, the_words jsonb, the_salts jsonb
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_auditentry WHERE id = the_record AND verb = 'audit.redacted'
                      AND at > now() - interval '1 hour') THEN
        RAISE EXCEPTION 'a redaction needs its record' USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO tenants_auditredaction (entry_id, record_id, token, commitments)
    VALUES (the_entry, the_record, the_token, the_commitments);
    UPDATE tenants_auditentry
       SET actor_label = the_words ->> 'actor_label', on_behalf_of_label = the_words ->> 'on_behalf_of_label',
           reason = the_words ->> 'reason', subject_label = the_words ->> 'subject_label',
           details = the_words -> 'details', changes = the_words -> 'changes',
           address = (the_words ->> 'address')::inet, user_agent = the_words ->> 'user_agent',
           salt = ''::bytea, leaf_salts = the_salts
     WHERE id = the_entry;
END $$;

-- Delete the entries of every seal up to one, all of them at least 180 days old; the seals stay.
CREATE FUNCTION audit_prune(the_seal bigint, the_record uuid) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    earlier bigint := coalesce((SELECT max(up_to_seal) FROM tenants_auditpruning), 0);
    deleted bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM tenants_auditentry WHERE id = the_record AND verb = 'audit.pruned'
                      AND (details ->> 'up_to_seal')::bigint = the_seal) THEN
        RAISE EXCEPTION 'a pruning needs its record' USING ERRCODE = 'restrict_violation';
    END IF;
    IF the_seal <= earlier OR EXISTS (SELECT FROM tenants_auditseal WHERE number > earlier AND number <= the_seal
                                         AND last_at > now() - interval '180 days') THEN
        RAISE EXCEPTION 'entries are kept for at least 180 days' USING ERRCODE = 'restrict_violation';
    END IF;
    INSERT INTO tenants_auditpruning (up_to_seal, record_id, pruned_at) VALUES (the_seal, the_record, now());
    DELETE FROM tenants_auditentry e
     USING (SELECT unnest(entry_ids) AS id FROM tenants_auditseal WHERE number > earlier AND number <= the_seal) s
     WHERE e.id = s.id;
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN deleted;
END $$;

CREATE FUNCTION audit_guard_seal() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.number <> coalesce((SELECT max(number) FROM tenants_auditseal), 0) + 1
       OR NEW.previous <> coalesce((SELECT sha256 FROM tenants_auditseal WHERE number = NEW.number - 1),
                                   decode(repeat('00', 32), 'hex')) THEN
        RAISE EXCEPTION 'seal % does not continue the chain', NEW.number USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER audit_seal_continues BEFORE INSERT ON tenants_auditseal
    FOR EACH ROW EXECUTE FUNCTION audit_guard_seal();
CREATE TRIGGER audit_seal_append_only BEFORE UPDATE OR DELETE ON tenants_auditseal
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_redaction_append_only BEFORE UPDATE OR DELETE ON tenants_auditredaction
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_pruning_append_only BEFORE UPDATE OR DELETE ON tenants_auditpruning
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""
BACKWARDS = """
DROP TRIGGER audit_pruning_append_only ON tenants_auditpruning;
DROP TRIGGER audit_redaction_append_only ON tenants_auditredaction;
DROP TRIGGER audit_seal_append_only ON tenants_auditseal;
DROP TRIGGER audit_seal_continues ON tenants_auditseal;
DROP TRIGGER audit_entry_kept ON tenants_auditentry;
DROP TRIGGER audit_entry_append_only ON tenants_auditentry;
DROP TRIGGER audit_entry_waits_for_seal ON tenants_auditentry;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON tenants_auditentry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
DROP FUNCTION audit_guard_seal, audit_prune, audit_redact, audit_guard_delete, audit_guard_update,
              audit_only_erased, audit_wait_for_seal;
DELETE FROM tenants_auditunsealed;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0014_audit_says_as_whom")]
    operations = [migrations.RunSQL(FORWARDS, BACKWARDS)]

"""Somebody who can act for a program because a row was changed is written down like one of a new row.

A token that lives again, a membership of a group that moves to another person, emergency access that is open again.
"""

from django.db import migrations

CHANGED = """
CREATE TRIGGER token_revived_notes_delegates AFTER UPDATE OF revoked_at, expires_at ON tenants_personalaccesstoken
    FOR EACH ROW WHEN (NEW.revoked_at IS NULL
        AND (OLD.revoked_at IS NOT NULL OR NEW.expires_at > OLD.expires_at))
    EXECUTE FUNCTION catalog_note_new_delegates();
CREATE TRIGGER emergency_access_changed_notes_delegates AFTER UPDATE ON tenants_emergencyaccess
    FOR EACH ROW WHEN (NEW.ended_at IS NULL
        AND (OLD.opened_by_id, OLD.tenant_id, OLD.expires_at, OLD.ended_at)
            IS DISTINCT FROM (NEW.opened_by_id, NEW.tenant_id, NEW.expires_at, NEW.ended_at))
    EXECUTE FUNCTION catalog_note_new_delegates();
CREATE TRIGGER group_changed_notes_delegates AFTER UPDATE ON accounts_user_groups
    FOR EACH ROW EXECUTE FUNCTION catalog_note_new_delegates();
"""
UNCHANGED = """
DROP TRIGGER group_changed_notes_delegates ON accounts_user_groups;
DROP TRIGGER emergency_access_changed_notes_delegates ON tenants_emergencyaccess;
DROP TRIGGER token_revived_notes_delegates ON tenants_personalaccesstoken;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0012_price_jumps_are_kept"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
    ]
    operations = [migrations.RunSQL(CHANGED, UNCHANGED)]

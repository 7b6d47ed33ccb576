"""Four eyes hold for programs too: who answers for the service account that asked does not decide its request."""

from django.db import migrations

GUARD = """
CREATE OR REPLACE FUNCTION catalog_reviewer_is_not_requester() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM catalog_review r
          JOIN catalog_accessrequest q ON q.id = r.access_request_id
          JOIN accounts_user u ON u.id = q.requested_by_id
         WHERE r.id = NEW.review_id AND {is_theirs}
    ) THEN
        RAISE EXCEPTION 'four eyes: the person who asked for access may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    RETURN NEW;
END $$
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0006_rows_are_of_one_tenant"),
        ("tenants", "0002_rules_of_rows"),
        ("audit", "0002_append_only"),
    ]
    operations = [
        migrations.RunSQL(
            GUARD.format(is_theirs="NEW.reviewer_id IN (u.id, u.responsible_id)"),
            GUARD.format(is_theirs="NEW.reviewer_id = u.id"),
        )
    ]

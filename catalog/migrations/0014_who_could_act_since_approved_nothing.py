"""An approval counts no more once its giver is written down as somebody who could act for the service account that asked.

Such a review stays approved until it is asked again, in another round, at the next decision; its request is not approved
meanwhile. Superusers are written down like everybody else.
"""

from django.db import migrations

OTHERS_ALONE = """
CREATE OR REPLACE FUNCTION catalog_is_approved(r catalog_review) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = public, pg_temp AS $$
    SELECT r.state = 'approved' AND r.quorum > 0 AND r.quorum <= (
        SELECT count(*) FROM catalog_reviewdecision d
         WHERE d.review_id = r.id AND d.round = r.round AND d.verdict = 'approve' AND NOT EXISTS (
            SELECT FROM catalog_requestdelegate s
             WHERE s.access_request_id = r.access_request_id AND s.person_id = d.reviewer_id))
$$;
"""
ANYBODY = """
CREATE OR REPLACE FUNCTION catalog_is_approved(r catalog_review) RETURNS boolean LANGUAGE sql STABLE
    SET search_path = public, pg_temp AS $$
    SELECT r.state = 'approved' AND r.quorum > 0 AND r.quorum <= (
        SELECT count(*) FROM catalog_reviewdecision d
         WHERE d.review_id = r.id AND d.round = r.round AND d.verdict = 'approve')
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0013_delegates_by_changed_rows")]
    operations = [migrations.RunSQL(OTHERS_ALONE, ANYBODY)]

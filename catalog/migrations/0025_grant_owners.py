"""Grants have an owner, are suspended while nobody answers for them, and keep the reason of their revocation."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# tenants/roles.py says the same of roles, and tests/catalog/test_grant_owners.py compares the two.
WHO_MAY_OWN = """
CREATE FUNCTION catalog_role_requests(role text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT role IN ('owner', 'admin', 'developer')
$$;

-- Whether a person may request access in a project, as a member: by the role there, which narrows no owner or admin.
CREATE FUNCTION catalog_may_own_grant(person uuid, of_project uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM tenants_project p
          JOIN tenants_membership m ON m.tenant_id = p.tenant_id AND m.user_id = person
          JOIN accounts_user u ON u.id = m.user_id AND u.is_active AND u.service_of_id IS NULL
          LEFT JOIN tenants_projectrole r ON r.membership_id = m.id AND r.project_id = p.id
         WHERE p.id = of_project AND catalog_role_requests(
               CASE WHEN m.role IN ('owner', 'admin') THEN m.role ELSE coalesce(r.role, m.role) END))
$$;
"""

# Who asked for the access, or answers for the service account that did; else the project's owner; else the tenant's
# first owner. Nobody, if none of them may.
FIRST_OWNERS = """
CREATE FUNCTION catalog_first_owner(requester uuid, of_project uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT found.person FROM (
        SELECT 1 AS place, coalesce(a.responsible_id, a.id) AS person FROM accounts_user a WHERE a.id = requester
        UNION ALL SELECT 2, p.owner_id FROM tenants_project p WHERE p.id = of_project
        UNION ALL SELECT 3, (
            SELECT m.user_id FROM tenants_project p
              JOIN tenants_membership m ON m.tenant_id = p.tenant_id AND m.role = 'owner'
              JOIN accounts_user u ON u.id = m.user_id AND u.is_active AND u.service_of_id IS NULL
             WHERE p.id = of_project ORDER BY m.id LIMIT 1)) found
     WHERE catalog_may_own_grant(found.person, of_project) ORDER BY found.place LIMIT 1
$$;
UPDATE catalog_grant g SET owner_id = catalog_first_owner(q.requested_by_id, g.project_id)
  FROM catalog_requestitem i JOIN catalog_accessrequest q ON q.id = i.access_request_id
 WHERE i.id = g.item_id AND g.revoked_at IS NULL AND g.valid_until > now();
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""

# Whoever becomes the owner may request access in the project, and so may the owner of a grant that is resumed. A grant
# never loses its owner again. What was said when it was revoked stays.
OWNERS = """
CREATE FUNCTION catalog_grant_has_an_owner() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_resumed boolean := TG_OP = 'UPDATE' AND OLD.suspended_at IS NOT NULL AND NEW.suspended_at IS NULL;
    is_new boolean := TG_OP = 'INSERT' OR OLD.owner_id IS DISTINCT FROM NEW.owner_id;
BEGIN
    IF TG_OP = 'INSERT' AND NEW.owner_id IS NULL THEN
        RETURN NEW;
    END IF;
    IF (is_new OR is_resumed) AND NOT coalesce(catalog_may_own_grant(NEW.owner_id, NEW.project_id), false) THEN
        RAISE EXCEPTION 'the owner of a grant is a member who may request access in its project'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'grant_has_an_owner';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grant_has_an_owner BEFORE INSERT OR UPDATE OF owner_id, project_id, suspended_at ON catalog_grant
    FOR EACH ROW EXECUTE FUNCTION catalog_grant_has_an_owner();

DROP TRIGGER grant_stays_revoked ON catalog_grant;
CREATE TRIGGER grant_stays_revoked BEFORE UPDATE OF revoked_at, revoked_by_id, revoked_reason ON catalog_grant
    FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL
        AND (NEW.revoked_at, NEW.revoked_by_id, NEW.revoked_reason)
            IS DISTINCT FROM (OLD.revoked_at, OLD.revoked_by_id, OLD.revoked_reason))
    EXECUTE FUNCTION catalog_grant_stays_revoked();
"""

# A renewal asks for the project and model of its grant, and says so from the start.
RENEWALS = """
ALTER TABLE catalog_requestitem ADD CONSTRAINT request_item_renews_of_tenant
    FOREIGN KEY (tenant_id, renews_id) REFERENCES catalog_grant (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;

CREATE FUNCTION catalog_item_renews_its_grant() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' OR NOT EXISTS (
        SELECT FROM catalog_grant g WHERE g.id = NEW.renews_id AND g.revoked_at IS NULL
           AND (g.tenant_id, g.project_id, g.model_id) = (NEW.tenant_id, NEW.project_id, NEW.model_id))
    THEN
        RAISE EXCEPTION 'a renewal is of a grant for the same project and model, and stays it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'request_item_renews_its_grant';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_item_renews_its_grant BEFORE INSERT ON catalog_requestitem
    FOR EACH ROW WHEN (NEW.renews_id IS NOT NULL) EXECUTE FUNCTION catalog_item_renews_its_grant();
CREATE TRIGGER request_item_renewal_is_for_good BEFORE UPDATE OF renews_id ON catalog_requestitem
    FOR EACH ROW WHEN (OLD.renews_id IS DISTINCT FROM NEW.renews_id) EXECUTE FUNCTION catalog_item_renews_its_grant();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0024_request_items"),
        ("tenants", "0011_unsent_mails_in_the_outbox"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="grant",
            name="owner",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="owner",
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="revoked_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
                verbose_name="revoked by",
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="revoked_reason",
            field=models.CharField(
                blank=True, db_default="", default="", max_length=500, verbose_name="reason"
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="suspended_at",
            field=models.DateTimeField(null=True, verbose_name="suspended"),
        ),
        migrations.AddField(
            model_name="requestitem",
            name="renews",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="renewals",
                to="catalog.grant",
                verbose_name="renews",
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="end_told_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.RunSQL(WHO_MAY_OWN),
        migrations.RunSQL(FIRST_OWNERS),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("revoked_at", None)),
                fields=["tenant", "valid_until", "id"],
                name="grant_ends",
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("revoked_at", None)), fields=["valid_until"], name="grant_ends_of_all"
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("revoked_at", None), ("suspended_at__isnull", False)),
                fields=["tenant", "id"],
                name="grant_suspended",
            ),
        ),
        migrations.AddIndex(
            model_name="grant",
            index=models.Index(
                condition=models.Q(("end_told_at", None), ("revoked_at", None)),
                fields=["valid_until"],
                name="grant_end_not_told",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("revoked_at__isnull", False),
                    models.Q(("revoked_by", None), ("revoked_reason", "")),
                    _connector="OR",
                ),
                name="grant_reason_is_of_revocation",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="grant_of_tenant"),
        ),
        migrations.RunSQL(OWNERS),
        migrations.RunSQL(RENEWALS),
    ]

"""A request has items, each one model for one project. A grant is of one item and owns no key."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

import core.ids

# The guards that name what moves to items. They come back below.
WITHOUT_GUARDS = """
DROP TRIGGER access_request_requester_is_for_good ON catalog_accessrequest;
DROP TRIGGER grant_has_its_reviews ON catalog_grant;
ALTER TABLE catalog_grant DROP CONSTRAINT grant_key_of_tenant;
"""

# Each request of an earlier version has one item, with the request's own id. Facts are by item from here on. Requests,
# decisions and evaluations are past changing, so their guards look away for these statements.
ONE_ITEM_EACH = """
INSERT INTO catalog_requestitem (id, tenant_id, access_request_id, project_id, model_id, data_class,
    expected_tokens_per_day, limits, expected_monthly_cost, currency, key_id, is_open)
SELECT q.id, q.tenant_id, q.id, q.project_id, q.model_id, q.data_class, q.expected_tokens_per_day, q.limits,
       q.expected_monthly_cost, q.currency, g.key_id,
       q.state IN ('pending', 'returned')
  FROM catalog_accessrequest q LEFT JOIN catalog_grant g ON g.access_request_id = q.id;
UPDATE catalog_grant SET item_id = access_request_id;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
ALTER TABLE catalog_accessrequest DISABLE TRIGGER USER;
ALTER TABLE catalog_reviewdecision DISABLE TRIGGER USER;
ALTER TABLE catalog_ruleevaluation DISABLE TRIGGER USER;
UPDATE catalog_accessrequest SET facts = jsonb_build_object(id::text, facts) WHERE facts <> '{}';
UPDATE catalog_reviewdecision d SET facts = jsonb_build_object(r.access_request_id::text, d.facts)
  FROM catalog_review r WHERE r.id = d.review_id AND d.facts <> '{}';
UPDATE catalog_ruleevaluation SET inputs = jsonb_build_object(access_request_id::text, inputs) WHERE inputs <> '{}';
ALTER TABLE catalog_accessrequest ENABLE TRIGGER USER;
ALTER TABLE catalog_reviewdecision ENABLE TRIGGER USER;
ALTER TABLE catalog_ruleevaluation ENABLE TRIGGER USER;
"""

# Foreign keys over the tenant and the id: an item, its request, project, key and grant are of one tenant.
SAME_TENANT = """
ALTER TABLE catalog_requestitem ADD CONSTRAINT request_item_request_of_tenant
    FOREIGN KEY (tenant_id, access_request_id) REFERENCES catalog_accessrequest (tenant_id, id)
    DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE catalog_requestitem ADD CONSTRAINT request_item_project_of_tenant
    FOREIGN KEY (tenant_id, project_id) REFERENCES tenants_project (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE catalog_requestitem ADD CONSTRAINT request_item_key_of_tenant
    FOREIGN KEY (tenant_id, key_id) REFERENCES tenants_apikey (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE catalog_grant ADD CONSTRAINT grant_item_of_tenant
    FOREIGN KEY (tenant_id, item_id) REFERENCES catalog_requestitem (tenant_id, id) DEFERRABLE INITIALLY DEFERRED;
"""

# As in 0005_four_eyes and 0014_changes_wanted, without what is now in items.
THE_REQUEST_STANDS = """
CREATE OR REPLACE FUNCTION catalog_asks_more(was catalog_accessrequest, wants catalog_accessrequest)
    RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT was.purpose <> wants.purpose OR wants.duration_days > was.duration_days
$$;
CREATE OR REPLACE FUNCTION catalog_requester_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'returned' AND NEW.state = 'pending'
       AND (OLD.tenant_id, OLD.requested_by_id, OLD.created_at)
           IS NOT DISTINCT FROM (NEW.tenant_id, NEW.requested_by_id, NEW.created_at)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'four eyes: who asked for access, and for what, cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_requester_is_for_good';
END $$;
CREATE TRIGGER access_request_requester_is_for_good
    BEFORE UPDATE OF tenant_id, requested_by_id, purpose, duration_days, created_at ON catalog_accessrequest
    FOR EACH ROW WHEN (
        (OLD.tenant_id, OLD.requested_by_id, OLD.purpose, OLD.duration_days, OLD.created_at)
        IS DISTINCT FROM
        (NEW.tenant_id, NEW.requested_by_id, NEW.purpose, NEW.duration_days, NEW.created_at))
    EXECUTE FUNCTION catalog_requester_is_for_good();
"""

# Items come with their request, before the rules run over them and its reviews open: nothing joins what people already
# decide. They stay as they were requested, with three exceptions. While the request is returned an item may ask for
# other data, numbers and limits; for more only if no approval counts that was given for less. The expected cost follows
# prices while the request is open. And approval gives each item a key before its grant.
ITEMS = """
-- Whether the second asks for anything that the first does not cover: a higher class of data, more tokens, or a limit
-- that is higher or gone.
CREATE FUNCTION catalog_item_asks_more(was catalog_requestitem, wants catalog_requestitem)
    RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_position(ARRAY['public', 'internal', 'confidential', 'restricted'], wants.data_class::text), 9)
         > coalesce(array_position(ARRAY['public', 'internal', 'confidential', 'restricted'], was.data_class::text), 0)
        OR wants.expected_tokens_per_day > was.expected_tokens_per_day
        OR EXISTS (SELECT FROM jsonb_each_text(was.limits) one
                    WHERE NOT wants.limits ? one.key
                       OR (wants.limits ->> one.key)::numeric > one.value::numeric)
$$;

CREATE FUNCTION catalog_item_stands() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    request_state text := (SELECT q.state FROM catalog_accessrequest q WHERE q.id = NEW.access_request_id);
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF request_state IS DISTINCT FROM 'pending'
           OR EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = NEW.access_request_id)
           OR EXISTS (SELECT FROM catalog_ruleevaluation e WHERE e.access_request_id = NEW.access_request_id)
        THEN
            RAISE EXCEPTION 'nothing is added to a request that people decide'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'request_item_stands';
        END IF;
        NEW.is_open := true;
    ELSIF (OLD.id, OLD.tenant_id, OLD.access_request_id, OLD.project_id, OLD.model_id)
          IS DISTINCT FROM (NEW.id, NEW.tenant_id, NEW.access_request_id, NEW.project_id, NEW.model_id)
          OR request_state <> 'returned' AND (OLD.data_class, OLD.expected_tokens_per_day, OLD.limits)
             IS DISTINCT FROM (NEW.data_class, NEW.expected_tokens_per_day, NEW.limits)
          OR NEW.is_open IS DISTINCT FROM (request_state IN ('pending', 'returned'))
          OR NOT NEW.is_open AND (OLD.expected_monthly_cost, OLD.currency)
             IS DISTINCT FROM (NEW.expected_monthly_cost, NEW.currency)
          OR NEW.key_id IS DISTINCT FROM OLD.key_id AND (request_state <> 'approved'
             OR EXISTS (SELECT FROM catalog_grant g WHERE g.item_id = NEW.id))
    THEN
        RAISE EXCEPTION 'what was requested cannot be changed afterwards'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'request_item_stands';
    END IF;
    IF TG_OP = 'UPDATE' AND catalog_item_asks_more(OLD, NEW) AND EXISTS (
        SELECT FROM catalog_reviewdecision d JOIN catalog_review r ON r.id = d.review_id AND r.round = d.round
         WHERE r.access_request_id = NEW.access_request_id AND d.verdict = 'approve')
    THEN
        RAISE EXCEPTION 'an approval covers no more than what was asked when it was given'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'access_request_asks_no_more';
    END IF;
    IF NEW.key_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM tenants_apikey k WHERE k.id = NEW.key_id AND k.project_id = NEW.project_id)
    THEN
        RAISE EXCEPTION 'the key of an item is one of its project'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'request_item_key_of_project';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER request_item_stands BEFORE INSERT OR UPDATE ON catalog_requestitem
    FOR EACH ROW EXECUTE FUNCTION catalog_item_stands();
CREATE TRIGGER request_item_is_kept BEFORE DELETE ON catalog_requestitem
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE FUNCTION catalog_items_close_with_request() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE catalog_requestitem SET is_open = false WHERE access_request_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER access_request_closes_items AFTER UPDATE OF state ON catalog_accessrequest
    FOR EACH ROW WHEN (OLD.state IN ('pending', 'returned') AND NEW.state NOT IN ('pending', 'returned'))
    EXECUTE FUNCTION catalog_items_close_with_request();
"""

# As in 0007_tracks and 0018_delegations, with a scope for the model of each item: one right covers all of them, that of
# the reviewer or that of one giver. catalog/review_scopes.py asks the same.
WHO_DECIDES = """
DROP FUNCTION catalog_may_decide(uuid, text, uuid, uuid);
CREATE FUNCTION catalog_has_scopes(person uuid, of_track text, of_request uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(bool_and(catalog_has_scope(person, of_track, i.tenant_id, i.model_id)), false)
      FROM catalog_requestitem i WHERE i.access_request_id = of_request
$$;
CREATE FUNCTION catalog_may_decide_request(person uuid, of_track text, of_request uuid)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM accounts_user p
         WHERE p.id = person AND p.is_active AND p.service_of_id IS NULL AND p.is_superuser)
        OR (catalog_reviews_by_role(person) AND (
            catalog_has_scopes(person, of_track, of_request)
            OR EXISTS (SELECT FROM catalog_delegations_to(person, of_track) d
                        WHERE catalog_has_scopes(d.giver_id, of_track, of_request))))
$$;

CREATE OR REPLACE FUNCTION catalog_reviewer_is_not_requester() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    review catalog_review;
    request catalog_accessrequest;
BEGIN
    SELECT * INTO review FROM catalog_review WHERE id = NEW.review_id;
    SELECT * INTO request FROM catalog_accessrequest WHERE id = review.access_request_id;
    IF NEW.reviewer_id = request.requested_by_id
       OR EXISTS (SELECT FROM accounts_user a WHERE a.id = request.requested_by_id AND a.responsible_id = NEW.reviewer_id)
       OR EXISTS (SELECT FROM catalog_requestdelegate d
                   WHERE d.access_request_id = request.id AND d.person_id = NEW.reviewer_id)
       OR EXISTS (SELECT FROM catalog_delegates_of(request.requested_by_id) d WHERE d.person_id = NEW.reviewer_id)
    THEN
        RAISE EXCEPTION 'four eyes: the person who asked for access, or could act for who asked, may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    IF request.state <> 'pending' OR review.state <> 'pending' OR NEW.round <> review.round THEN
        RAISE EXCEPTION 'a decision belongs to the present round of an open review'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_of_open_review';
    END IF;
    IF NOT catalog_may_decide_request(NEW.reviewer_id, review.track, request.id) THEN
        RAISE EXCEPTION 'four eyes: who decides no such % reviews decides none here', review.track
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_by_reviewers';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION catalog_decides_by_one_right() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    review catalog_review;
    request catalog_accessrequest;
    giver uuid;
BEGIN
    SELECT * INTO review FROM catalog_review WHERE id = NEW.review_id FOR NO KEY UPDATE;
    SELECT * INTO request FROM catalog_accessrequest WHERE id = review.access_request_id;
    IF EXISTS (
        SELECT FROM catalog_reviewdelegation d
         WHERE d.track = review.track AND NEW.reviewer_id IN (d.giver_id, d.receiver_id)
           AND least(d.ended_at, d.ends_at) > greatest(d.begins_at, request.created_at)
           AND CASE NEW.reviewer_id WHEN d.giver_id THEN d.receiver_id ELSE d.giver_id END IN (
                SELECT request.requested_by_id
                UNION ALL SELECT a.responsible_id FROM accounts_user a WHERE a.id = request.requested_by_id
                UNION ALL SELECT r.person_id FROM catalog_requestdelegate r WHERE r.access_request_id = request.id))
    THEN
        RAISE EXCEPTION 'four eyes: who delegated to the person who asked, or received from them, may not review it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_four_eyes';
    END IF;
    NEW.delegation_id := NULL;
    IF NOT EXISTS (SELECT FROM accounts_user p WHERE p.id = NEW.reviewer_id AND p.is_superuser)
       AND NOT catalog_has_scopes(NEW.reviewer_id, review.track, request.id)
    THEN
        SELECT d.id, d.giver_id INTO NEW.delegation_id, giver
          FROM catalog_delegations_to(NEW.reviewer_id, review.track) d
         WHERE catalog_has_scopes(d.giver_id, review.track, request.id)
         ORDER BY catalog_right_has_decided(d.giver_id, NEW.review_id, NEW.round), d.created_at, d.id
         LIMIT 1;
    END IF;
    IF NEW.verdict <> 'return'
       AND catalog_right_has_decided(coalesce(giver, NEW.reviewer_id), NEW.review_id, NEW.round) AND NOT EXISTS (
        SELECT FROM catalog_reviewdecision o
         WHERE o.review_id = NEW.review_id AND o.round = NEW.round AND o.reviewer_id = NEW.reviewer_id
           AND o.verdict <> 'return')
    THEN
        RAISE EXCEPTION 'four eyes: a reviewer and who decides in their place count as one person'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_decision_once_per_right';
    END IF;
    RETURN NEW;
END $$;
"""

# As in 0020_automatic_approval, for the item of the grant.
GRANTS = """
CREATE OR REPLACE FUNCTION catalog_grant_has_its_reviews() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    request catalog_accessrequest;
BEGIN
    SELECT q.* INTO request FROM catalog_requestitem i JOIN catalog_accessrequest q ON q.id = i.access_request_id
     WHERE i.id = NEW.item_id AND i.key_id IS NOT NULL
       AND (i.tenant_id, i.project_id, i.model_id) = (NEW.tenant_id, NEW.project_id, NEW.model_id);
    IF request.state IS DISTINCT FROM 'approved'
       OR NEW.valid_until > request.decided_at + make_interval(hours => 24 * request.duration_days)
       OR NOT catalog_may_be_approved(request.id, '-infinity')
    THEN
        RAISE EXCEPTION 'a grant needs its approved request, with every review decided by enough people, and ends with it'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'grant_has_its_reviews';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grant_has_its_reviews
    BEFORE INSERT OR UPDATE OF tenant_id, project_id, model_id, item_id, valid_until ON catalog_grant
    FOR EACH ROW EXECUTE FUNCTION catalog_grant_has_its_reviews();
"""

# As in 0020_automatic_approval, for every item: each is approved by itself, and there are no others.
RULES_APPROVE = """
CREATE FUNCTION catalog_rules_approve_item(version text, q catalog_accessrequest, i catalog_requestitem, said jsonb)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    WITH held AS (
        SELECT r.outcome, r.longest_days FROM catalog_rule r JOIN catalog_ruleset s ON s.id = r.rule_set_id
         WHERE s.version = catalog_rules_approve_item.version AND catalog_rule_holds(r, said)
    )
    SELECT said IS NOT NULL
       AND EXISTS (SELECT FROM held WHERE outcome = 'automatic')
       AND NOT EXISTS (SELECT FROM held WHERE outcome IN ('review', 'reject')
                           OR outcome = 'duration' AND longest_days < q.duration_days)
       AND EXISTS (
        SELECT FROM catalog_catalogmodel m WHERE m.id = i.model_id
           AND said @> jsonb_build_object(
               'risk_tier', m.risk_tier, 'regions', m.regions, 'data_class', i.data_class, 'tenant', i.tenant_id,
               'limits', i.limits, 'duration_days', q.duration_days, 'is_new_to_project', NOT EXISTS (
                   SELECT FROM catalog_grant g WHERE g.project_id = i.project_id AND g.model_id = i.model_id))
           AND said -> 'limits' = i.limits AND said -> 'regions' = to_jsonb(m.regions)
           AND (said ->> 'expected_monthly_cost')::numeric IS NOT DISTINCT FROM i.expected_monthly_cost)
$$;
CREATE OR REPLACE FUNCTION catalog_rules_approve(version text, q catalog_accessrequest, said jsonb)
    RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = q.id)
       AND (SELECT count(*) FROM jsonb_object_keys(said)) = count(*)
       AND coalesce(bool_and(
           catalog_rules_approve_item(catalog_rules_approve.version, q, i, said -> i.id::text) IS TRUE), false)
      FROM catalog_requestitem i WHERE i.access_request_id = q.id
$$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("catalog", "0023_newest_evaluations"),
        ("tenants", "0008_keys_to_claim"),
    ]

    operations = [
        migrations.RunSQL(WITHOUT_GUARDS),
        migrations.CreateModel(
            name="RequestItem",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=core.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        to="tenants.tenant",
                        verbose_name="tenant",
                    ),
                ),
                (
                    "access_request",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="items",
                        to="catalog.accessrequest",
                        verbose_name="access request",
                    ),
                ),
                (
                    "project",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="request_items",
                        to="tenants.project",
                        verbose_name="project",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="request_items",
                        to="catalog.catalogmodel",
                        verbose_name="model",
                    ),
                ),
                (
                    "data_class",
                    models.CharField(
                        choices=[
                            ("public", "Public"),
                            ("internal", "Internal"),
                            ("confidential", "Confidential"),
                            ("restricted", "Restricted"),
                        ],
                        max_length=12,
                        verbose_name="data class",
                    ),
                ),
                (
                    "expected_tokens_per_day",
                    models.BigIntegerField(
                        validators=[django.core.validators.MinValueValidator(1)],
                        verbose_name="expected tokens per day",
                    ),
                ),
                ("limits", models.JSONField(default=dict, verbose_name="limits")),
                (
                    "expected_monthly_cost",
                    models.DecimalField(
                        decimal_places=8, max_digits=20, null=True, verbose_name="expected monthly cost"
                    ),
                ),
                ("currency", models.CharField(default="USD", max_length=3, verbose_name="currency")),
                (
                    "key",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="request_items",
                        to="tenants.apikey",
                        verbose_name="key",
                    ),
                ),
                ("is_open", models.BooleanField(default=True, editable=False, verbose_name="open")),
            ],
            options={
                "verbose_name": "requested model",
                "verbose_name_plural": "requested models",
                "ordering": ["pk"],
                "constraints": [
                    models.CheckConstraint(
                        condition=Q(expected_tokens_per_day__gt=0), name="request_item_expects_tokens"
                    ),
                    models.UniqueConstraint(fields=("tenant", "id"), name="request_item_of_tenant"),
                    models.UniqueConstraint(
                        fields=("access_request", "project", "model"), name="request_item_once"
                    ),
                    models.UniqueConstraint(
                        condition=Q(is_open=True), fields=("project", "model"), name="request_item_one_open"
                    ),
                ],
            },
            managers=[("unscoped", models.Manager())],
        ),
        migrations.AddField(
            "grant",
            "item",
            models.OneToOneField(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="grant",
                to="catalog.requestitem",
                verbose_name="requested model",
            ),
        ),
        migrations.RunSQL(ONE_ITEM_EACH),
        migrations.AlterField(
            "grant",
            "item",
            models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="grant",
                to="catalog.requestitem",
                verbose_name="requested model",
            ),
        ),
        migrations.RemoveField("grant", "access_request"),
        migrations.RemoveField("grant", "key"),
        migrations.RemoveIndex("accessrequest", "access_request_decided"),
        migrations.AddIndex(
            "requestitem",
            models.Index(fields=["model", "-id"], condition=Q(is_open=False), name="request_item_decided"),
        ),
        migrations.RemoveConstraint("accessrequest", "access_request_expects_tokens"),
        migrations.RemoveConstraint("accessrequest", "access_request_one_open"),
        *(
            migrations.RemoveField("accessrequest", name)
            for name in (
                "project",
                "model",
                "data_class",
                "expected_tokens_per_day",
                "limits",
                "expected_monthly_cost",
                "currency",
            )
        ),
        migrations.RunSQL(SAME_TENANT),
        migrations.RunSQL(THE_REQUEST_STANDS),
        migrations.RunSQL(ITEMS),
        migrations.RunSQL(WHO_DECIDES),
        migrations.RunSQL(GRANTS),
        migrations.RunSQL(RULES_APPROVE),
    ]

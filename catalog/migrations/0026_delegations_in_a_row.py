"""Delegations that follow each other count together, a request that the rules reject is not approved, evaluations stay."""

import django.db.models.deletion
from django.db import migrations, models

# As in 0018_delegations. Delegations of a giver on a track that are less than a week apart count as one: the days on
# which somebody decides in the giver's place are added up. Two of a giver and a track do not overlap. The giver's row
# is locked, so that two that are given at once see each other.
DELEGATIONS_ADD_UP = """
CREATE FUNCTION catalog_days_delegated(of_giver uuid, of_track text, begins timestamptz, ends timestamptz)
    RETURNS interval LANGUAGE sql STABLE AS $$
    WITH given AS (
        SELECT d.begins_at, least(d.ended_at, d.ends_at) AS over_at FROM catalog_reviewdelegation d
         WHERE d.giver_id = of_giver AND d.track = of_track AND least(d.ended_at, d.ends_at) > d.begins_at
        UNION ALL SELECT begins, ends
    ), chain AS (
        SELECT one FROM (
            -- Ranges that touch are joined, hence the microsecond.
            SELECT unnest(range_agg(tstzrange(g.begins_at, g.over_at + interval '7 days' - interval '1 microsecond')))
                AS one FROM given g
        ) chains WHERE one @> begins
    )
    SELECT sum(upper(part) - lower(part)) FROM (
        SELECT unnest(range_agg(tstzrange(g.begins_at, g.over_at))) AS part
          FROM given g, chain WHERE g.begins_at <@ chain.one
    ) parts
$$;

CREATE OR REPLACE FUNCTION catalog_delegation_is_short() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    longest interval := (
        SELECT make_interval(days => t.longest_delegation_days) FROM catalog_track t WHERE t.code = NEW.track);
BEGIN
    IF NEW.ended_at IS NOT NULL OR NEW.ends_at - NEW.begins_at > longest THEN
        RAISE EXCEPTION 'a delegation is no longer than its track allows'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'review_delegation_is_short';
    END IF;
    IF NEW.ends_at > NEW.begins_at THEN
        PERFORM FROM accounts_user p WHERE p.id = NEW.giver_id FOR NO KEY UPDATE;
        IF EXISTS (
            SELECT FROM catalog_reviewdelegation d
             WHERE d.giver_id = NEW.giver_id AND d.track = NEW.track AND d.begins_at < NEW.ends_at
               AND least(d.ended_at, d.ends_at) > greatest(d.begins_at, NEW.begins_at))
        THEN
            RAISE EXCEPTION 'one colleague at a time decides in the place of a reviewer'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'review_delegation_one_at_a_time';
        END IF;
        IF catalog_days_delegated(NEW.giver_id, NEW.track, NEW.begins_at, NEW.ends_at) > longest THEN
            RAISE EXCEPTION 'delegations that are less than a week apart are together no longer than their track allows'
                USING ERRCODE = 'check_violation', CONSTRAINT = 'review_delegation_adds_up';
        END IF;
    END IF;
    NEW.created_at := clock_timestamp();
    RETURN NEW;
END $$;
"""

# As in 0020_automatic_approval. Reviews approve nothing that the rules rejected when they last ran.
APPROVED = """
CREATE OR REPLACE FUNCTION catalog_may_be_approved(request uuid, since timestamptz) RETURNS boolean
    LANGUAGE sql STABLE AS $$
    WITH newest AS (
        SELECT e.answer, e.occasion, e.at
          FROM catalog_ruleevaluation e WHERE e.access_request_id = request ORDER BY e.at DESC, e.id DESC LIMIT 1
    )
    SELECT CASE WHEN EXISTS (SELECT FROM catalog_review r WHERE r.access_request_id = request)
        THEN NOT EXISTS (SELECT FROM catalog_review r
                          WHERE r.access_request_id = request AND NOT catalog_is_approved(r))
             AND NOT EXISTS (SELECT FROM newest WHERE answer = 'rejected')
        ELSE coalesce((
            SELECT answer = 'automatic' AND occasion = 'raised' AND at >= since FROM newest
        ), false) END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0025_grant_owners")]

    operations = [
        migrations.RunSQL(DELEGATIONS_ADD_UP),
        migrations.RunSQL(APPROVED),
        migrations.AlterField(
            model_name="ruleevaluation",
            name="access_request",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="evaluations",
                to="catalog.accessrequest",
                verbose_name="access request",
            ),
        ),
    ]

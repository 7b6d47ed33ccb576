"""Columns that the catalog's filters read: capabilities and regions as arrays, and the list prices of a mix."""

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models

from catalog.search import Places, TrueFlags

# The flags that are true. Both functions are immutable as called: they read nothing but their arguments.
TRUE_FLAGS = """
CREATE FUNCTION catalog_true_flags(flags jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(key ORDER BY key), '{}') FROM jsonb_each(flags) WHERE value = 'true'::jsonb
$$;
"""
# Each region, and every one in which it lies: `eu-central-1` is in `eu-central` and in `eu` (core/regions.py).
PLACES = """
CREATE FUNCTION catalog_places(regions text[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT array_to_string(parts[:size], '-')), '{}')
      FROM (SELECT string_to_array(region, '-') AS parts FROM unnest(regions) region) split,
           generate_series(1, cardinality(parts)) size
$$;
"""
# Of models with prices by an import, from the offer that set them.
PRICES = """
UPDATE catalog_catalogmodel model
   SET list_output_price = (offer.prices ->> 'output')::numeric,
       list_cache_price = (offer.prices ->> 'cache_read')::numeric
  FROM catalog_offer offer
 WHERE offer.model_id = model.id AND offer.is_primary AND model.list_input_price IS NOT NULL;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0012_comments")]

    operations = [
        migrations.RunSQL(TRUE_FLAGS, "DROP FUNCTION catalog_true_flags(jsonb);"),
        migrations.RunSQL(PLACES, "DROP FUNCTION catalog_places(text[]);"),
        migrations.AddField(
            "catalogmodel",
            "able",
            models.GeneratedField(
                db_persist=True,
                expression=TrueFlags("capabilities"),
                output_field=ArrayField(models.TextField()),
            ),
        ),
        migrations.AddField(
            "catalogmodel",
            "places",
            models.GeneratedField(
                db_persist=True, expression=Places("regions"), output_field=ArrayField(models.TextField())
            ),
        ),
        migrations.AddField(
            "catalogmodel",
            "list_output_price",
            models.DecimalField(null=True, max_digits=18, decimal_places=8),
        ),
        migrations.AddField(
            "catalogmodel",
            "list_cache_price",
            models.DecimalField(null=True, max_digits=18, decimal_places=8),
        ),
        migrations.RunSQL(PRICES, migrations.RunSQL.noop),
    ]

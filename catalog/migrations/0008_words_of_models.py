"""The words of a model include its kind, providers, capabilities, and Chinese in pairs of characters."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import migrations, models

from catalog.search import ModelWords

# Latin words as written (`gpt`, `3.3`), split between letters and digits (`qwen` of `qwen3`), the name without
# punctuation (`gpt4o`), and of each Chinese character it and the next one. Immutable as we call it: lower() and the
# spelling of arrays and JSON of plain words depend on no setting.
MODEL_WORDS = r"""
CREATE FUNCTION catalog_model_words(
    name text, title text, maker text, more text, mode text, providers text[], capabilities jsonb
) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(array_remove(
               regexp_split_to_array(said.words, '[^a-z0-9.]+')
            || regexp_split_to_array(regexp_replace(said.words, '([a-z])([0-9])', '\1 \2', 'g'), '[^a-z0-9]+')
            || regexp_replace(lower(name), '[^a-z0-9]', '', 'g')
            || ARRAY(
                   SELECT (regexp_match(substr(said.words, place, 2), '^[\u3400-\u9fff]+'))[1]
                     FROM generate_series(1, length(said.words)) place
                    WHERE said.words ~ '[\u3400-\u9fff]' AND substr(said.words, place, 1) ~ '[\u3400-\u9fff]'
               ), ''))
      FROM (SELECT lower(
               name || ' ' || title || ' ' || maker || ' ' || more || ' ' || mode || ' '
               || array_to_string(providers, ' ') || ' '
               || jsonb_path_query_array(capabilities, '$.keyvalue() ? (@.value == true).key')::text
           ) AS words) said
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0007_tracks")]

    operations = [
        migrations.RunSQL(
            MODEL_WORDS,
            "DROP FUNCTION catalog_model_words(text, text, text, text, text, text[], jsonb);",
        ),
        migrations.RemoveIndex("catalogmodel", "catalog_model_search"),
        migrations.RemoveField("catalogmodel", "search"),
        migrations.AddField(
            "catalogmodel",
            "search",
            models.GeneratedField(
                db_persist=True,
                expression=ModelWords(
                    "name", "title", "maker", "search_text", "mode", "providers", "capabilities"
                ),
                output_field=SearchVectorField(),
            ),
        ),
        migrations.AddIndex("catalogmodel", GinIndex(fields=["search"], name="catalog_model_search")),
    ]

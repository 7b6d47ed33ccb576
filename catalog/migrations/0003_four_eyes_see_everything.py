"""The guards of four eyes look at other rows as the tables' owner does, whatever the caller's scope hides from them."""

from django.db import migrations

GUARDS = ["catalog_reviewer_is_not_requester", "catalog_grant_has_its_reviews"]


class Migration(migrations.Migration):
    dependencies = [("catalog", "0002_four_eyes")]
    operations = [
        migrations.RunSQL(
            f"ALTER FUNCTION {guard}() SECURITY DEFINER SET search_path = public, pg_temp",
            f"ALTER FUNCTION {guard}() SECURITY INVOKER RESET search_path",
        )
        for guard in GUARDS
    ]

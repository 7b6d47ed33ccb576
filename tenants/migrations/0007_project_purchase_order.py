"""Projects have a purchase order. The default in the database serves the release that does not know the column yet."""

from django.db import migrations, models
from django.db.models import Q

from core.names import NameField, OneLine


class Migration(migrations.Migration):
    dependencies = [("tenants", "0006_closing")]

    operations = [
        migrations.AddField(
            "project",
            "purchase_order",
            NameField(
                "Purchase order",
                max_length=60,
                blank=True,
                default="",
                db_default="",
                help_text="Number of the order that pays for this project. Cost reports show it.",
            ),
        ),
        migrations.AddConstraint(
            "project",
            models.CheckConstraint(
                name="project_purchase_order_is_one_line", condition=Q(OneLine(models.F("purchase_order")))
            ),
        ),
    ]

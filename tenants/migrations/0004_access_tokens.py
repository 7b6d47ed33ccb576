"""Access tokens of people and service accounts. Each names a person who knows its secret."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import Q
from django.utils.timezone import now

from core.ids import uuid7
from core.names import LineField, NameField, OneLine

# Whoever knows the secret of a token acts for its owner, so each token names a person who knows it. A token that is
# inserted without an issuer is issued by its owner, or by the person who answers for the service account.
ISSUER = """
CREATE FUNCTION tenants_token_has_an_issuer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT CASE WHEN u.service_of_id IS NULL THEN u.id ELSE u.responsible_id END INTO NEW.issued_by_id
      FROM accounts_user u WHERE u.id = NEW.user_id;
    RETURN NEW;
END $$;
CREATE TRIGGER token_has_an_issuer BEFORE INSERT ON tenants_personalaccesstoken
    FOR EACH ROW WHEN (NEW.issued_by_id IS NULL) EXECUTE FUNCTION tenants_token_has_an_issuer();
"""

# A token keeps its owner, its issuer and its secret.
STANDS = """
CREATE FUNCTION tenants_token_issuer_is_for_good() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'whose a token is, and who issued it, cannot be changed afterwards'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'token_issuer_is_for_good';
END $$;
CREATE TRIGGER token_issuer_is_for_good
    BEFORE UPDATE OF user_id, issued_by_id, digest, prefix ON tenants_personalaccesstoken
    FOR EACH ROW WHEN ((OLD.user_id, OLD.issued_by_id, OLD.digest, OLD.prefix)
        IS DISTINCT FROM (NEW.user_id, NEW.issued_by_id, NEW.digest, NEW.prefix))
    EXECUTE FUNCTION tenants_token_issuer_is_for_good();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_of_tenants"),
        ("tenants", "0003_configuration_changes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            "PersonalAccessToken",
            fields=[
                ("id", models.UUIDField(primary_key=True, default=uuid7, editable=False, serialize=False)),
                (
                    "user",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens", verbose_name="user"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        "tenants.tenant",
                        models.PROTECT,
                        blank=True,
                        null=True,
                        related_name="+",
                        verbose_name="tenant",
                    ),
                ),
                ("name", NameField(max_length=80, verbose_name="name")),
                (
                    "scopes",
                    ArrayField(
                        models.CharField(
                            max_length=20,
                            choices=[
                                ("read", "Read what you may see"),
                                ("requests", "Ask for access and withdraw requests"),
                                ("keys", "Claim and revoke keys, end grants"),
                                ("costs", "Build and download cost reports"),
                                ("manage", "Manage settings, projects, members and tokens"),
                                ("platform", "Act as platform staff"),
                            ],
                        ),
                        default=list,
                        verbose_name="scopes",
                    ),
                ),
                ("prefix", models.CharField(max_length=12, verbose_name="token begins with")),
                ("digest", models.CharField(max_length=64, unique=True, editable=False)),
                (
                    "issued_by",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.PROTECT,
                        null=True,
                        editable=False,
                        related_name="issued_tokens",
                        verbose_name="issued by",
                    ),
                ),
                ("created_at", models.DateTimeField(default=now, editable=False, verbose_name="created")),
                ("expires_at", models.DateTimeField(verbose_name="expires")),
                ("last_used_at", models.DateTimeField(null=True, verbose_name="last used")),
                ("suspended_at", models.DateTimeField(null=True, verbose_name="suspended since")),
                (
                    "suspended_reason",
                    LineField(max_length=200, blank=True, verbose_name="reason of the suspension"),
                ),
                ("revoked_at", models.DateTimeField(null=True, verbose_name="revoked at")),
            ],
            options={
                "verbose_name": "personal access token",
                "verbose_name_plural": "personal access tokens",
                "constraints": [
                    models.CheckConstraint(
                        name="personal_access_token_name_is_one_line", condition=Q(OneLine(models.F("name")))
                    ),
                    models.CheckConstraint(
                        name="personal_access_token_suspended_reason_is_one_line",
                        condition=Q(OneLine(models.F("suspended_reason"))),
                    ),
                ],
            },
        ),
        migrations.RunSQL(ISSUER),
        migrations.RunSQL(STANDS),
    ]

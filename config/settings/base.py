"""Settings of every installation; differences come from the environment (see docs/operate.md for the list)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from csp.constants import NONCE, SELF

from config.env import env, env_bool, env_choice, env_database, env_int, env_list, env_rates, env_seconds
from config.logging import configure_logging
from config.settings.admin_pages import UNFOLD as UNFOLD

BASE_DIR = Path(__file__).resolve().parent.parent.parent
LOCAL_DIR = Path(env("LOCAL_DIR", BASE_DIR / ".local"))

SECRET_KEY = env("SECRET_KEY")
SECRET_KEY_FALLBACKS = env_list("SECRET_KEY_FALLBACKS")
DEBUG = False
CONSOLE_URL = env("CONSOLE_URL", "http://127.0.0.1:8000").rstrip("/")
GATEWAY_URL = env("GATEWAY_URL", "http://127.0.0.1:8080/v1").rstrip("/")
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
IS_LOOPBACK = urlsplit(CONSOLE_URL).hostname in LOOPBACK_HOSTS
# Shown on the sign-in page; opens nothing by itself.
IS_DEMO = env_bool("DEMO", False)
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", urlsplit(CONSOLE_URL).hostname or "127.0.0.1")
CSRF_TRUSTED_ORIGINS = [CONSOLE_URL]

# In the order of the import layers.
OUR_APPS = [
    "core", "audit", "accounts", "tenants", "directory", "exports", "privacy", "billing", "catalog", "deployments",
    "gateway",
]  # fmt: skip
INSTALLED_APPS = [
    "axes",
    "config.apps.ConsoleConfig",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "csp",
    "django_celery_beat",
    "django_celery_results",
    "django_filters",
    "django_htmx",
    "django_structlog",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "rest_framework",
    *OUR_APPS,
]

MIDDLEWARE = [
    "config.metrics.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.security_headers.SecurityHeadersMiddleware",
    "config.compression.CompressPagesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.language_middleware.LanguageMiddleware",
    "accounts.session_middleware.SessionSeenMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.request_log.RequestLogMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "tenants.middleware.RequestContextMiddleware",
    "tenants.middleware.ScopeMiddleware",
    "audit.staff_reads.StaffReadMiddleware",
    "accounts.session_middleware.LocalSessionMiddleware",
    "directory.oidc.middleware.ProviderSessionMiddleware",
    "tenants.middleware.RefusalMiddleware",
    "accounts.session_middleware.SecondFactorGate",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "config.context.installation",
            ],
        },
    }
]
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"
INSTALLED_APPS.insert(1, "django.forms")

# Database. A threaded console uses a pool; short-lived processes connect directly.
DATABASES = {"default": env_database("DATABASE_URL")}
DATABASES["default"]["CONN_MAX_AGE"] = 0
if pool_size := env_int("DATABASE_POOL_SIZE", 0):
    DATABASES["default"]["OPTIONS"]["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": 10}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Identity
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "accounts.lockout.LockoutBackend",
    "accounts.permissions.StaffPermissionBackend",
    "tenants.permissions.RolePermissionBackend",
    "directory.oidc.backend.ProviderBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Guardian: anonymous visitors have no row.
ANONYMOUS_USER_NAME = None
GUARDIAN_RAISE_403 = False
LOGIN_URL = "login"
# Off: only the OpenID provider signs people in.
LOCAL_ACCOUNTS = env_bool("LOCAL_ACCOUNTS", True)
# Staff without a second factor must set one up before they see any page, except in the demo.
STAFF_SECOND_FACTOR = env_choice(
    "STAFF_SECOND_FACTOR", "optional" if IS_DEMO else "required", ("required", "optional")
)
APPROVALS_NEED_SECOND_FACTOR = env_bool("APPROVALS_NEED_SECOND_FACTOR", False)

# Lockout (django-axes) of an address at one place and, after many more failures, everywhere.
AXES_HANDLER = "accounts.lockout.LockoutHandler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"], ["username"]]
AXES_FAILURE_LIMIT = env_int("LOCKOUT_FAILURES", 5, minimum=1)
LOCKOUT_FAILURES_ANYWHERE = env_int("LOCKOUT_FAILURES_ANYWHERE", 50, minimum=1)
AXES_COOLOFF_TIME = timedelta(minutes=env_int("LOCKOUT_MINUTES", 15, minimum=1))
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "accounts.lockout.address_tried"
AXES_CLIENT_IP_CALLABLE = "core.client_address.caller_place"
AXES_LOCKOUT_CALLABLE = "accounts.lockout.locked_out"
# The audit log records sign-ins.
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = AXES_VERBOSE = False
AXES_SENSITIVE_PARAMETERS = ["username", "next", "csrfmiddlewaretoken", "code"]
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"

# OpenID Connect: one provider, known by its issuer (docs/identity.md); OIDC_RP_ and the like are the library's names.
OIDC_ISSUER = env("OIDC_ISSUER", "")
OIDC_PROVIDER_NAME = env("OIDC_PROVIDER_NAME", "your organization")
OIDC_RP_CLIENT_ID = env("OIDC_CLIENT_ID") if OIDC_ISSUER else ""
OIDC_RP_CLIENT_SECRET = env("OIDC_CLIENT_SECRET") if OIDC_ISSUER else ""
OIDC_RP_SCOPES = env("OIDC_SCOPES", "openid email profile groups offline_access")
OIDC_SIGN_IN_PARAMETERS = dict(parse_qsl(env("OIDC_SIGN_IN_PARAMETERS", "")))
OIDC_GROUPS_CLAIM = env("OIDC_GROUPS_CLAIM", "groups")
OIDC_SECOND_FACTOR_ACR = env_list("OIDC_SECOND_FACTOR_ACR")
OIDC_API_AUDIENCE = env("OIDC_API_AUDIENCE", "")
OIDC_API_TOKEN_TYPES = env_list("OIDC_API_TOKEN_TYPES", "at+jwt")
OIDC_TIMEOUT = env_seconds("OIDC_TIMEOUT_SECONDS", 5)
OIDC_CHECK_MINUTES = env_int("OIDC_CHECK_MINUTES", 15, minimum=1)
OIDC_RENEW_ID_TOKEN_EXPIRY_SECONDS = env_seconds("OIDC_RENEW_SECONDS", 3600)
OIDC_CREATE_USER = env_bool("OIDC_CREATE_ACCOUNTS", True)
OIDC_USE_NONCE = OIDC_USE_PKCE = True
OIDC_PKCE_CODE_CHALLENGE_METHOD = "S256"

# Cookies and transport: secure unless the console serves only this machine.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not IS_LOOPBACK
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = env_seconds("SESSION_SECONDS", 12 * 3600)
SESSION_ENGINE = "accounts.session_store"
# Browsers then require Secure and Path=/, and forbid Domain.
_HOST_ONLY = "" if IS_LOOPBACK else "__Host-"
SESSION_COOKIE_NAME = f"{_HOST_ONLY}qm_session"
CSRF_COOKIE_NAME = f"{_HOST_ONLY}qm_csrf"
# Pages contain the token themselves.
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_NAME = f"{_HOST_ONLY}qm_language"
LANGUAGE_COOKIE_AGE = 400 * 24 * 3600
LANGUAGE_COOKIE_SECURE = SESSION_COOKIE_SECURE
LANGUAGE_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = not IS_LOOPBACK
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$", r"^internal/"]
SECURE_HSTS_SECONDS = 0 if IS_LOOPBACK else env_seconds("HSTS_SECONDS", 31536000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = not IS_LOOPBACK and env_bool("HSTS_SUBDOMAINS", True)
SECURE_HSTS_PRELOAD = not IS_LOOPBACK and env_bool("HSTS_PRELOAD", False)
# Preloading binds a whole domain for years, so its owner must decide.
SILENCED_SYSTEM_CHECKS = [
    # It looks for its own backend by name; ours extends it.
    "guardian.W001",
    "security.W021",
]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
IS_BEHIND_TLS_PROXY = env_bool("BEHIND_TLS_PROXY", False)
if IS_BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# The number of proxies in front that append to X-Forwarded-For; the outermost one's entry is the caller.
TRUSTED_PROXIES = env_int("TRUSTED_PROXIES", 1 if IS_BEHIND_TLS_PROXY else 0)
X_FRAME_OPTIONS = "DENY"
PERMISSIONS_POLICY = dict.fromkeys(
    (
        "accelerometer",
        "autoplay",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "usb",
    ),
    "",
) | {"clipboard-write": "self", "fullscreen": "self"}
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "object-src": ["'none'"],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": ["'none'"],
    }
}

# Language, time, files
LANGUAGE_CODE = "en"
# Each by its own name, so that people find theirs.
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
# The first wins. Our catalogs stand before those of libraries, whose words may differ.
LOCALE_PATHS = [BASE_DIR / "locale", *(BASE_DIR / app / "locale" for app in OUR_APPS)]
USE_I18N = USE_TZ = True
FORMAT_MODULE_PATH = ["config.formats"]
TIME_ZONE = "UTC"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = Path(env("STATIC_ROOT", LOCAL_DIR / "static"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.static_files.HashedFiles"},
}
EXPORT_DIR = Path(env("EXPORT_DIR", LOCAL_DIR / "exports"))
EXPORT_KEEP_DAYS = env_int("EXPORT_KEEP_DAYS", 30, minimum=1)
AUDIT_RETENTION_DAYS = env_int("AUDIT_RETENTION_DAYS", 730, minimum=180)
# file:///… or s3://bucket/prefix; empty: checkpoints stay here.
AUDIT_ANCHOR = env("AUDIT_ANCHOR", "")
AUDIT_ANCHOR_ENDPOINT = env("AUDIT_ANCHOR_ENDPOINT", "")
AUDIT_ANCHOR_REGION = env("AUDIT_ANCHOR_REGION", "us-east-1")
AUDIT_ANCHOR_KEY_ID = env("AUDIT_ANCHOR_KEY_ID", "")
AUDIT_ANCHOR_SECRET = env("AUDIT_ANCHOR_SECRET", "")
EMAIL_BACKEND = env("EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
EMAIL_HOST = env("EMAIL_HOST", "localhost")
EMAIL_PORT = env_int("EMAIL_PORT", 25, minimum=1)
EMAIL_HOST_USER = env("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", False)
EMAIL_TIMEOUT = env_seconds("EMAIL_TIMEOUT", 10)
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", "quartermaster@localhost")
# How long the outbox keeps what was sent or given up (accounts/outbox/sending.py).
OUTBOX_DAYS = env_int("OUTBOX_DAYS", 90, minimum=1)
# Networks beyond the public Internet that webhooks may reach: "10.20.0.0/16". Those of providers are others, because
# members of tenants type these addresses.
WEBHOOK_NETWORKS = env_list("WEBHOOK_NETWORKS")
# Validity of an invitation's link.
INVITATION_DAYS = env_int("INVITATION_DAYS", 7, minimum=1)
# For members of a suspended tenant; empty: "the operators".
SUPPORT_CONTACT = env("SUPPORT_CONTACT", "")

# Celery: a lost worker loses nothing. V exceeds the longest task limit and the longest countdown (STACK facts in docs).
CELERY_BROKER_URL = env("CELERY_BROKER_URL")
CELERY_RESULT_BACKEND = "django-db"
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_SOFT_TIME_LIMIT = 540  # seconds
CELERY_TASK_TIME_LIMIT = 600  # seconds
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 900, "unacked_restore_interval": 2, "unacked_restore_throttle": 1}
    if CELERY_BROKER_URL.startswith(("redis", "valkey", "sentinel"))
    else {}
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TIMEZONE = "UTC"
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Each app adds its own schedules in tasks.py (config.celery).
CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {}

# Rate limits (core/rate_limits.py), counted in a Redis or Valkey, or else in each process.
_is_shared = CELERY_BROKER_URL.startswith(("redis://", "rediss://", "valkey://", "valkeys://"))
RATE_LIMIT_URL = env("RATE_LIMIT_URL", CELERY_BROKER_URL if _is_shared else "memory://")
RATE_LIMITS = env_rates(
    "RATE_LIMITS",
    {
        # Passwords, codes and administrator's links, per address.
        "sign_in": "30/minute",
        # Redirects to the identity provider, per address (an office has one).
        "provider_sign_in": "300/minute",
        "invitation_send": "60/hour",  # per person
        "invitation_open": "30/minute",  # per address
        "key_claim": "30/minute",  # per person
        # Unknown, expired and revoked bearer tokens, per address.
        "token_failed": "60/minute",
        "token_use": "600/minute",  # per token
        # Per token of a directory.
        "scim": "1200/minute",
        "back_channel_logout": "120/minute",  # per address
    },
)

# Clusters and gateways
CLUSTER_TIMEOUT_SECONDS = env_seconds("CLUSTER_TIMEOUT_SECONDS", 10)
ENGINE_STATE_DIR = Path(env("ENGINE_STATE_DIR", LOCAL_DIR / "engines"))
# Longest wait of a long poll; a stop may take it.
GATEWAY_LAG_TIME = timedelta(seconds=env_seconds("GATEWAY_LAG_SECONDS", 60))
REFUSALS_KEEP_DAYS = env_int("REFUSALS_KEEP_DAYS", 14, minimum=1)
CONFIG_POLL_SECONDS = env_seconds("CONFIG_POLL_SECONDS", 5)
# Gateways waiting in one console process.
CONFIG_POLL_LIMIT = env_int("CONFIG_POLL_LIMIT", 4, minimum=1)

# HTTP API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "directory.oidc.bearer.ProviderTokenAuthentication",
        "tenants.token_authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "tenants.api.permissions.SignedIn",
        "tenants.token_authentication.TokenHasScope",
        "core.query_parameters.KnownParameters",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["core.parsers.StorableJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "tenants.api.schema.ProblemAutoSchema",
    "DEFAULT_PAGINATION_CLASS": "core.pagination.CursorPages",
    "DEFAULT_FILTER_BACKENDS": ["core.filters.StatedFilters"],
    "EXCEPTION_HANDLER": "core.problems.problem_response",
    "COERCE_DECIMAL_TO_STRING": True,
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Quartermaster",
    "DESCRIPTION": "Model catalog, access requests, keys, usage and costs.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tenants.api.schema.close_bodies",
    ],
    "ENUM_NAME_OVERRIDES": {
        "DataClassEnum": "tenants.models.DataClass",
        "KeyStateEnum": "tenants.models.ApiKey.State",
        "AccessRequestStateEnum": "catalog.models.AccessRequest.State",
        "ReviewStateEnum": "catalog.models.Review.State",
        "ModelVisibilityEnum": "catalog.models.CatalogModel.Visibility",
        "VersionVisibilityEnum": "catalog.models.ModelVersion.Visibility",
        "FileFormatEnum": "catalog.models.ModelVersion.Format",
        "PlannedChangeKindEnum": "catalog.models.PlannedChange.Kind",
        "ExportStateEnum": "exports.models.Export.State",
        "ExportKindEnum": "exports.kinds.choices",
        "DeploymentStateEnum": "deployments.models.Deployment.State",
        "ProviderCredentialKindEnum": "deployments.models.ProviderCredential.Kind",
        "WebhookStateEnum": ["active", "failing", "disabled"],
        "WebhookDeliveryStateEnum": "tenants.models.WebhookDelivery.State",
        "TokenStateEnum": ["active", "suspended", "expired", "revoked"],
        "TokenScopeEnum": "tenants.roles.TokenScope",
        "RoleEnum": "tenants.roles.Role",
        "ProjectRoleEnum": "tenants.roles.PROJECT_ROLE_CHOICES",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

KEY_CLAIM_WINDOW = timedelta(days=7)
configure_logging(env("LOG_LEVEL", "INFO"))
# structlog is configured above, once, for every process.
LOGGING_CONFIG = None
DJANGO_STRUCTLOG_CELERY_ENABLED = True

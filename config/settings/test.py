"""Settings for tests: cheap password hashes, static files directly from the tree, no https redirects."""

from config.settings.base import *  # noqa: F403
from config.settings.base import RATE_LIMITS, STORAGES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
ALLOWED_HOSTS = ["*"]
# All tests use one address; tests of limits set their own.
RATE_LIMITS = dict.fromkeys(RATE_LIMITS)
# The tests of second factors set "required".
STAFF_SECOND_FACTOR = "optional"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = (
    # Processes of browser tests serve the tree's static files.
    True
)

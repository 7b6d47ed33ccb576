"""What differs under test: cheap password hashes, static files straight from the tree, no https redirects."""

from config.settings.base import *  # noqa: F403
from config.settings.base import RATE_LIMITS, STORAGES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
ALLOWED_HOSTS = ["*"]
# All tests come from one address; those about limits set some.
RATE_LIMITS = dict.fromkeys(RATE_LIMITS)
# The tests that are about it say "required".
STAFF_SECOND_FACTOR = "optional"
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = (
    # Processes of browser tests serve the tree's static files.
    True
)

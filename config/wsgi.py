"""The console as a WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")
application = get_wsgi_application()

from config.checks import refuse_what_is_unsafe  # noqa: E402  (needs Django set up)

refuse_what_is_unsafe()

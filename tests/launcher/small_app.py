"""The smallest applications that granian and Celery run, to see what becomes of their worker processes."""

import os

from celery import Celery

app = Celery("small", broker=os.environ.get("CELERY_BROKER_URL"))


def application(environ, start_response):
    """Answer every request alike."""
    start_response("200 OK", [])
    return [b"here"]

"""A part that is held back is noted whatever it is called: nothing else may wait for it."""

import pytest

from audit.models import AuditEntry
from gateway.models import ConfigRefusal
from gateway.proof import NotProved
from gateway.refused import note_refused


@pytest.mark.django_db
def test_a_slug_that_looks_like_a_key_holds_nothing_back():
    slug = "sk-" + "a" * 40
    note_refused(
        [NotProved(f"Project {slug} would get m, which is not granted.", project=slug, model="m")], 1
    )
    assert ConfigRefusal.objects.get().reason == "Project sk-aaaaa… would get m, which is not granted."
    entry = AuditEntry.objects.across_tenants().get(verb="configuration.refused")
    assert entry.details["row"] == {"project": "sk-aaaaa…", "model": "m"}

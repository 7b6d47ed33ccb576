"""Counts on the staff site's pages of rows read in groups of digits."""

from __future__ import annotations

import pytest

from tests.factories import CatalogModelFactory, staff

pytestmark = pytest.mark.django_db


def test_a_count_reads_in_groups_of_digits(client):
    client.force_login(staff("operator"))
    model = CatalogModelFactory(context_tokens=1_048_576, max_output_tokens=None)
    page = client.get(f"/admin/catalog/catalogmodel/{model.pk}/change/").content.decode()
    assert "1,048,576" in page
    assert "1048576" not in page

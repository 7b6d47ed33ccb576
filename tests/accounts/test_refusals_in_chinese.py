"""A refusal says in the reader's language what the role does not allow."""

import pytest
from django.core.exceptions import PermissionDenied
from django.utils.translation import override

from accounts.permissions import WORDS, require
from tests.factories import TenantFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("permission", sorted(WORDS))
def test_a_refusal_in_chinese_has_no_english_words(permission: str) -> None:
    tenant = TenantFactory(name="租户")
    with override("zh-hans"), pytest.raises(PermissionDenied) as refused:
        require(UserFactory(), permission, tenant)
    assert not [letter for letter in str(refused.value) if letter.isascii() and letter.isalpha()]

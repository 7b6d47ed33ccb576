"""What is encrypted under SECRET_KEY opens for its purpose alone, and after the key was changed."""

import pytest

from core.encryption import CannotDecrypt, decrypt, encrypt


def test_ciphertext_is_read_for_its_purpose_alone_and_after_a_key_rotation(settings):
    ciphertext = encrypt(b"secret", "one")
    assert decrypt(ciphertext, "one") == b"secret"
    with pytest.raises(CannotDecrypt):
        decrypt(ciphertext, "another")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key altogether, long enough for the check of its length"
    assert decrypt(ciphertext, "one") == b"secret"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(CannotDecrypt):
        decrypt(ciphertext, "one")

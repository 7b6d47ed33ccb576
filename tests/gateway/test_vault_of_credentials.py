"""What opens a provider's credential in a gateway, and which of several it uses."""

import pytest

from deployments.providers.dialects import DIALECTS
from gateway.contract import CredentialConfig
from gateway.contract.sealing import CannotOpen, open_key, public_half, seal, seal_key, unseal
from gateway.proxy.vault import NoCredential, Vault

SECRET = "sk-of-the-provider-0123456789"


def test_only_the_gateway_opens_what_is_sealed_to_it():
    private, other, key = b"1" * 32, b"2" * 32, b"k" * 64
    sealed = seal_key(key, public_half(private))
    assert open_key(sealed, private) == key
    for wrong in (
        (sealed, other),
        (sealed[:-8], private),
        ("", private),
    ):
        with pytest.raises(CannotOpen):
            open_key(*wrong)
    with pytest.raises(ValueError):
        seal_key(key, "not a key")


def test_a_credential_cannot_be_moved_to_another_target():
    key = b"k" * 64
    sealed = seal(SECRET, key, "one")
    assert sealed == seal(SECRET, key, "one")
    assert unseal(sealed, key, "one") == SECRET
    for wrong in ((sealed, key, "other"), (sealed, b"o" * 64, "one"), ("AAAA", key, "one")):
        with pytest.raises(CannotOpen):
            unseal(*wrong)


def stored(vault, key, secret=SECRET, **fields):
    vault.note({"x-credential-key": seal_key(key, vault.public_key)})
    return CredentialConfig(kind="stored", value=seal(secret, key, "one"), **fields)


def test_the_newest_credential_that_has_not_ended_is_used(tmp_path):
    vault, key = Vault(tmp_path, None, {}), b"k" * 64
    dialect = DIALECTS["openai"]
    ended = stored(vault, key, "sk-ended", until=1)
    assert vault.header(dialect, "one", [ended, stored(vault, key)]) == ("authorization", f"Bearer {SECRET}")
    with pytest.raises(NoCredential, match="has ended"):
        vault.header(dialect, "one", [ended])
    assert vault.header(dialect, "one", []) is None


def test_a_new_credential_key_opens_what_the_old_one_cannot(tmp_path):
    vault = Vault(tmp_path, None, {})
    old, new = stored(vault, b"k" * 64), stored(vault, b"n" * 64)
    dialect = DIALECTS["anthropic"]
    assert vault.header(dialect, "one", [new]) == ("x-api-key", SECRET)
    with pytest.raises(NoCredential, match="not sealed"):
        vault.header(dialect, "one", [old])
    assert Vault(tmp_path, None, {}).header(dialect, "one", [new]) == ("x-api-key", SECRET)


def test_files_and_variables_are_read_where_they_may_be(tmp_path):
    (tmp_path / "credentials" / "openai").mkdir(parents=True)
    (tmp_path / "credentials" / "openai" / "key").write_text(f"{SECRET}\n")
    (tmp_path / "secret").write_text("another-secret")
    vault = Vault(tmp_path, tmp_path / "credentials", {"PROVIDER_X": SECRET, "GATEWAY_TOKEN": "own"})
    dialect = DIALECTS["azure"]
    for kind, name in (("file", "openai/key"), ("environment", "PROVIDER_X")):
        assert vault.header(dialect, "one", [CredentialConfig(kind=kind, value=name)]) == ("api-key", SECRET)
    for kind, name in (
        ("file", "../secret"),
        ("file", "openai/../../secret"),
        ("file", "missing"),
        ("environment", "GATEWAY_TOKEN"),
        ("environment", "PROVIDER_Y"),
    ):
        with pytest.raises(NoCredential):
            vault.header(dialect, "one", [CredentialConfig(kind=kind, value=name)])


@pytest.mark.parametrize("damage", [b"", b"half a key", b"x" * 33])
def test_a_damaged_private_key_is_made_anew(tmp_path, damage):
    Vault(tmp_path, None, {})
    (tmp_path / "sealing.key").write_bytes(damage)
    vault = Vault(tmp_path, None, {})
    assert vault.header(DIALECTS["azure"], "one", [stored(vault, b"k" * 64)]) == ("api-key", SECRET)
    assert Vault(tmp_path, None, {}).public_key == vault.public_key


def test_a_disk_without_room_for_the_private_key_stops_no_start(tmp_path):
    vault = Vault(tmp_path / "missing", None, {})
    assert vault.header(DIALECTS["azure"], "one", [stored(vault, b"k" * 64)]) == ("api-key", SECRET)

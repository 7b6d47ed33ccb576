"""A form reaches a provider as a form: at its own path, with its own credential, under its own name of the model."""

import pytest

from gateway.contract import RouteConfig, SettingsConfig
from tests.gateway.scripted_backend import ScriptedBackend
from tests.gateway.served import SOUND
from tests.gateway.test_calls_to_providers import SECRET, target


@pytest.mark.parametrize(
    ("dialect", "path", "header", "value"),
    [
        ("azure", "/v1/deployments/up-scripted/audio/transcriptions", "api-key", SECRET),
        ("mistral", "/v1/audio/transcriptions", "authorization", f"Bearer {SECRET}"),
    ],
)
def test_a_form_reaches_a_provider(configured_rig, dialect, path, header, value):
    rig, outside = configured_rig, ScriptedBackend()
    rig.settings = SettingsConfig(allowed_networks=["127.0.0.0/8"])
    outside.says({"text": "hello", "usage": {"type": "duration", "seconds": 2}})
    own = target(rig, outside, dialect)
    rig.routes.append(RouteConfig(model="aurora-ears", modes=["audio_transcription"], targets=[own]))
    client = rig.client(rig.new_key(models=["aurora-ears"]))
    came = client.audio.transcriptions.create(model="aurora-ears", file=("a.wav", SOUND), language="de")
    assert came.text == "hello"
    [(headers, raw)] = outside.asked
    assert (outside.paths, headers[header]) == ([path], value)
    assert headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="model"\r\n\r\nup-scripted\r\n' in raw
    assert SOUND in raw
    outside.close()

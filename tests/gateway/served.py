"""A model of any of the endpoints that are no chats, served by a backend that says what a test tells it to."""

import base64

import pytest
import requests

from gateway.contract import RouteConfig
from tests.gateway.scripted_backend import OWN_NAME, ScriptedBackend
from tests.gateway.test_lengths_of_sounds import wav

MODES = {
    "rerank": "rerank",
    "moderations": "moderation",
    "audio/transcriptions": "audio_transcription",
    "audio/speech": "audio_speech",
    "images/generations": "image_generation",
}
RERANK = {"query": "what is it?", "documents": ["a cat", "a dog"], "top_n": 1}
BEST = {"index": 1, "relevance_score": 0.9, "document": {"text": "a dog"}}
RANKED = {"id": "r", "model": OWN_NAME, "results": [BEST]}
MODERATION = {"input": ["be nice", "be harmful"]}
FLAGGED = {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.1}}
JUDGED = {"id": "modr-1", "model": OWN_NAME, "results": [FLAGGED, FLAGGED]}
SPEECH = {"input": "Grüße aus Köln", "voice": "alloy"}
IMAGE = {"prompt": "a cat", "size": "1024x1792"}
PICTURE = base64.b64encode(b"PNG" * 50).decode()
DRAWN = {"created": 1, "data": [{"b64_json": PICTURE}]}
CALLS = {
    "rerank": (RERANK, RANKED),
    "moderations": (MODERATION, JUDGED),
    "audio/speech": (SPEECH, None),
    "images/generations": (IMAGE, DRAWN),
}
MP3 = {"content-type": "audio/mpeg"}
SOUND = wav(16_000 * 3)  # three seconds


class Served:
    """A model of one mode, served by a backend that says what a test tells it to."""

    def __init__(self, rig, path, backend=None):
        self.rig, self.path = rig, path
        self.model = f"aurora-{MODES[path]}"
        self.backends = [ScriptedBackend(MODES[path])]
        self.backend = self.backends[0]
        self.targets = [self.backend.backend(modes=[MODES[path]])]
        self.routed()
        self.key = rig.new_key(models=[self.model])

    def routed(self):
        self.rig.routes = [route for route in self.rig.routes if route.model != self.model]
        self.rig.routes.append(RouteConfig(model=self.model, modes=[MODES[self.path]], targets=self.targets))

    def second(self):
        other = ScriptedBackend("second")
        self.backends.append(other)
        self.targets.append(other.backend(modes=[MODES[self.path]], priority=1))
        self.routed()
        self.rig.publish()
        return other

    def call(self, key=None, *, form=None, **fields):
        headers = {"authorization": f"Bearer {key or self.key}"}
        url = f"{self.rig.gateway.url}/v1/{self.path}"
        if form is not None:
            files = {"file": ("a.wav", form, "audio/wav")}
            data = {"model": self.model, **fields}
            return requests.post(url, data=data, files=files, headers=headers, timeout=60)
        return requests.post(url, json={"model": self.model, **fields}, headers=headers, timeout=60)

    def event(self, key=None):
        (event,) = self.rig.events(key or self.key, 1)
        return event

    def close(self):
        for backend in self.backends:
            backend.close()
        self.rig.routes = [route for route in self.rig.routes if route.model != self.model]
        self.rig.prices = [price for price in self.rig.prices if price.model != self.model]
        self.rig.publish()


@pytest.fixture
def served(configured_rig):
    made = []

    def serve(path):
        made.append(Served(configured_rig, path))
        return made[-1]

    yield serve
    for one in made:
        one.close()

"""What a gateway that was restarted must not forget: how much of a day or month is used up already."""

import time

import msgspec
import openai
import pytest

from tests.gateway.proxy_fixtures import ask, limit, wait_until


def test_a_restarted_gateway_asks_anew_what_is_used_though_nothing_was_changed(new_rig):
    rig = new_rig()
    month = limit("tokens_per_month", 1000, used=0, used_as_of=int(time.time()) - 60)
    secret = rig.new_key(limits=[month])
    assert ask(rig.client(secret))
    rig.gateway.process.kill()
    used_up = limit("tokens_per_month", 1000, id=month.id, used=1000, used_as_of=int(time.time()))
    rig.keys[0] = msgspec.structs.replace(rig.keys[0], limits=[used_up])
    # The ledger moved on; the configuration is the same, and so is its revision.
    rig.revision -= 1
    rig.publish(wait=False)
    rig.gateway.start()

    def is_refused():
        try:
            ask(rig.client(secret))
        except openai.RateLimitError:
            return True

    wait_until(is_refused, what="the refusal")
    with pytest.raises(openai.RateLimitError, match="tokens per month"):
        ask(rig.client(secret))

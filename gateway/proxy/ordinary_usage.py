"""Usage of the report that nearly every backend sends: a prompt, an answer, and a total that is their sum.

For such a report, if it is possible, `gateway.proxy.evidence` comes to exactly these numbers, in many more steps.
"""

from gateway.contract import Usage
from gateway.proxy.delivered import Delivered
from gateway.proxy.usage import Reported
from gateway.proxy.usage_bounds import Bounds


def ordinary_usage(reported: Reported | None, bounds: Bounds, delivered: Delivered) -> Usage | None:
    """The exact usage of an ordinary report of a complete answer; None if the report needs a closer look.

    Args:
        reported: numbers of the backend; None: none.
        bounds: what is possible.
        delivered: what reached the client.
    """
    if reported is None or not reported.is_only_text or bounds.is_embedding:
        return None
    prompt, completion = reported.prompt, reported.completion
    if not prompt or not completion or reported.total != prompt + completion:
        return None
    if not bounds.input_least <= prompt <= min(bounds.input_certain, bounds.input_most):
        return None
    if delivered.images or delivered.sound:
        return None
    most = min(delivered.certain(bounds.choices), bounds.output_most)
    if not delivered.least <= completion <= most:
        return None
    return {"input": prompt, "output": completion}


def estimated_usage(bounds: Bounds, delivered: Delivered) -> Usage:
    """The usage of an answer without a report, on the high side. Sound is counted as such."""
    usage = {"input": bounds.input_estimate}
    if bounds.is_embedding or not (tokens := delivered.estimate(bounds.characters_of_a_sound_token)):
        return usage
    sound = min(tokens, delivered.sound_estimate(bounds.characters_of_a_sound_token))
    if tokens > sound:
        usage["output"] = tokens - sound
    if sound:
        usage["audio"] = sound
    return usage


def as_usage(counts: dict[str, int], reported: Reported | None) -> Usage:
    """What was counted, under the names of usage and without zeros."""
    usage = {kind: counts[kind] for kind in ("input", "cache_read", "cache_write", "output", "reasoning")}
    if reported is not None and reported.cache_write_1h:
        usage["cache_write_1h"] = min(reported.cache_write_1h, usage["cache_write"])
        usage["cache_write"] -= usage["cache_write_1h"]
    usage["image"] = counts["image_in"] + counts["image_out"]
    usage["audio"] = counts["audio_in"] + counts["audio_out"]
    return {kind: count for kind, count in usage.items() if count}

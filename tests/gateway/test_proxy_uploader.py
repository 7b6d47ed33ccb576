"""Bringing usage home when what stands in the way is not the control plane's own refusal."""

from tests.gateway.proxy_fixtures import MODEL, ask, wait_until


def test_a_refusal_that_is_not_the_control_planes_own_sets_nothing_aside(new_rig):
    """Such as the plain 400 of a console that does not know the host it is called by."""
    rig = new_rig()
    secret = rig.new_key()
    for status in (400, 413):
        rig.control.turned_away, rig.control.usage_status = 0, status
        ask(rig.client(secret))
        wait_until(lambda: rig.control.turned_away >= 2, what="another try")
    rig.control.usage_status = None
    rig.events(secret, 2)
    assert not (rig.gateway.state / "rejected").exists()


def test_an_event_that_cannot_be_set_aside_is_tried_again_without_another_call(new_rig):
    rig = new_rig()
    rig.control.poisoned.add(MODEL)
    in_the_way = rig.gateway.state / "rejected"
    in_the_way.write_text("")
    ask(rig.client())
    wait_until(lambda: "background_work_failed" in rig.gateway.process.output(), what="the failure")
    in_the_way.unlink()
    wait_until(lambda: list(in_the_way.glob("*.json")), what="the rejected event's file")

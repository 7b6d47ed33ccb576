"""The short form of `make soak-away`, with a stand-in for the console; test_end_to_end.py has it with the real one."""

from tests.gateway.console_away import ConsoleAway
from tests.gateway.consoles import StandInConsole


def test_no_call_fails_and_none_is_lost_while_the_console_is_away(new_rig):
    outcome = ConsoleAway(StandInConsole(new_rig()), seconds=12, callers=6, pause_seconds=0.05).run()
    # All six callers made progress.
    assert len(outcome.answered) > 60

"""`python -m deployments.engine_host --state-dir DIR`: run the engines of the local cluster until it is stopped."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

import structlog

from deployments.engine_host.host import AlreadyRunning, EngineHost
from deployments.engine_host.replica import HostSettings
from deployments.engine_host.state import StateDirectory


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 after SIGTERM or SIGINT, 1 if another host holds the directory."""
    options = _parser().parse_args(arguments)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    settings = HostSettings(
        first_pause_seconds=options.first_pause_seconds,
        drain_seconds=options.drain_seconds,
        shutdown_seconds=options.shutdown_seconds,
        log_bytes=options.log_bytes,
        resources=dict(options.resource),
    )
    try:
        asyncio.run(_serve(EngineHost(StateDirectory(options.state_dir.resolve()), settings)))
    except AlreadyRunning as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _serve(host: EngineHost) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await host.run(stop)


def _resource(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    if "/" not in name or not count.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} should look like nvidia.com/gpu=2")
    return name, int(count)


def _parser() -> argparse.ArgumentParser:
    defaults = HostSettings()
    parser = argparse.ArgumentParser(prog="python -m deployments.engine_host", description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True, help="shared with the local cluster driver")
    parser.add_argument(
        "--resource",
        type=_resource,
        action="append",
        default=[],
        metavar="NAME=COUNT",
        help="devices of this machine that engines may request, such as nvidia.com/gpu=2 (default: none)",
    )
    parser.add_argument("--first-pause-seconds", type=float, default=defaults.first_pause_seconds)
    parser.add_argument("--drain-seconds", type=float, default=defaults.drain_seconds)
    parser.add_argument("--shutdown-seconds", type=float, default=defaults.shutdown_seconds)
    parser.add_argument("--log-bytes", type=int, default=defaults.log_bytes)
    return parser


if __name__ == "__main__":
    sys.exit(main())

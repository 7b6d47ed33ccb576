"""`python -m deployments.engine`: run one demo engine until SIGTERM or SIGINT."""

import argparse
import asyncio
import ctypes
import os
import signal
import sys

from aiohttp import web

from deployments.engine.server import Engine, Options

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="deployments.engine", description="Quartermaster's demo engine.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0: any free port; the log line says which")
    parser.add_argument("--model", required=True, help="the model name that calls must use")
    parser.add_argument(
        "--any-model", action="store_true", help="accept every other name, too, as a provider does"
    )
    parser.add_argument("--latency-ms", type=int, default=0, help="wait this long before every answer")
    parser.add_argument("--token-ms", type=int, default=0, help="wait this long for every token of an answer")
    parser.add_argument("--fail-rate", type=float, default=0.0, help="share of calls that get 503, 0 to 1")
    parser.add_argument("--dimensions", type=int, default=256, help="length of embedding vectors")
    parser.add_argument(
        "--allow-faults", action="store_true", help="let callers make it fail; only for tests"
    )
    parser.add_argument(
        "--die-with-parent", action="store_true", help="end when the starting process ends (Linux)"
    )
    given = parser.parse_args()
    if given.die_with_parent:
        die_with_parent()
    options = Options(
        model=given.model,
        any_model=given.any_model,
        latency_ms=given.latency_ms,
        token_ms=given.token_ms,
        fail_rate=given.fail_rate,
        dimensions=given.dimensions,
        allow_faults=given.allow_faults,
        # Not an argument: other users of the machine can read those.
        api_key=os.environ.get("ENGINE_API_KEY", ""),
    )
    asyncio.run(serve(options, given.host, given.port))


async def serve(options: Options, host: str, port: int) -> None:
    """Serve until a signal arrives; calls in progress get five seconds to finish."""
    runner = web.AppRunner(
        Engine(options).application(), handler_cancellation=True, access_log=None, shutdown_timeout=5.0
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        sys.exit(f"The engine cannot listen on {host}:{port}: {error.strerror}. Choose another --port.")
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    bound = runner.addresses[0][1]
    print(f"demo engine for {options.model} on http://{host}:{bound}/v1", flush=True)  # noqa: T201
    await stop.wait()
    await runner.cleanup()


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent ends; leave at once if it already has."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("The process that started this engine is gone.")


if __name__ == "__main__":
    main()

"""Measure how soon five pages of the demo are painted, and what they load, with nothing in the browser's cache.

    python -m benchmarks.pages [--demo .local] [--baseline /tmp/old/.local] [--rounds 5] [--slowdown 4]

Opens pages of a running demo (`make demo`) in the machine's Chromium: the home of a tenant, its catalog and its cost as
its owner, the home of staff and the list of deployments as an operator. `--baseline` is the directory of another
running demo, for example of an older revision; the two are measured by turns. As in Lighthouse, the browser's processor
is slowed down (4 times) and its network is a phone's (1.6 megabits a second, a latency of 150 ms; `--network none`
leaves this machine's). Times are medians in milliseconds from asking for the page to its first and its largest
contentful paint, and the processor time of the page's main thread. Bytes are as sent, headers included, and as
uncompressed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scratch import CHECKOUT, install_what_is_missing

PAGES = [
    ("tenant's home", "owner", "/t/{tenant}/"),
    ("catalog", "owner", "/t/{tenant}/models/"),
    ("cost", "owner", "/t/{tenant}/cost/"),
    ("staff home", "operator", "/admin/"),
    ("deployments", "operator", "/admin/deployments/deployment/"),
]
# As Lighthouse's phone: bytes a second, and milliseconds.
NETWORKS = {"phone": (1_600_000 // 8, 150), "none": (-1, 0)}
KINDS = {"Document": "HTML", "Stylesheet": "CSS", "Script": "JS", "Font": "fonts"}
TIMES = ("first paint", "largest paint", "main thread")
# Milliseconds: after the load event, in which scripts ask for the rest; how long a page may take; between two looks.
QUIET = 1000
PATIENCE = 60_000
PAUSE = 50
KEEP_PAINTS = """
    window.paints = {};
    for (const type of ["paint", "largest-contentful-paint"])
        new PerformanceObserver(list => {
            for (const entry of list.getEntries())
                window.paints[entry.entryType === "paint" ? entry.name : "largest"] = entry.startTime;
        }).observe({type, buffered: true});
"""


@dataclass
class Place:
    """A running demo: its address, and what keeps each role signed in."""

    origin: str
    tenant: str
    states: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--demo", type=Path, default=CHECKOUT / ".local", help="directory of a running demo")
    parser.add_argument("--baseline", type=Path, help="directory of another running demo, to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slowdown", type=float, default=4, help="of the browser's processor")
    parser.add_argument("--network", choices=NETWORKS, default="phone")
    options = parser.parse_args()
    install_what_is_missing()
    from tests.browser.looking import chromium

    with chromium() as browser:
        places = [sign_in(browser, each) for each in (options.demo, options.baseline) if each]
        print(
            f"processor {options.slowdown:g} times slower, network {options.network}, {options.rounds} rounds"
        )
        for name, role, path in PAGES:
            seen: list[list[dict[str, float]]] = [[] for _ in places]
            for _ in range(options.rounds):
                for place, figures in zip(places, seen, strict=True):
                    figures.append(look(browser, place, role, path, options.slowdown, options.network))
            report(name, [medians(figures) for figures in seen])


def sign_in(browser: Any, directory: Path) -> Place:
    """Sign an owner and an operator in by the form. Exits with a sentence if there is no such demo."""
    try:
        demo = json.loads((directory / "demo.json").read_text())
        origin, accounts = demo["console"], demo["accounts"]
    except (OSError, ValueError, KeyError):
        sys.exit(f"{directory} has no demo. Start one: make demo")
    place = Place(origin, "", {})
    for role, path in (("owner", "/login/"), ("operator", "/admin/login/?next=/admin/")):
        account = next(each for each in accounts if each["role"] == role)
        place.tenant = account.get("tenant") or place.tenant
        context = browser.new_context()
        page = context.new_page()
        page.goto(origin + path)
        page.locator("input[type=email], input[name=username]").first.fill(account["email"])
        page.locator("input[type=password]").fill(account["password"])
        page.locator("form:has(input[type=password]) [type=submit]").first.click()
        page.wait_for_url(lambda address: "login" not in address)
        place.states[role] = context.storage_state()
        context.close()
    return place


def look(browser: Any, place: Place, role: str, path: str, slowdown: float, network: str) -> dict[str, float]:
    """Open a page in a browser that has never seen the product, and return its figures by name."""
    context = browser.new_context(storage_state=place.states[role], viewport={"width": 1360, "height": 860})
    try:
        context.add_init_script(KEEP_PAINTS)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        devtools = context.new_cdp_session(page)
        loaded = Loaded()
        for event in ("requestWillBeSent", "responseReceived", "dataReceived", "loadingFinished"):
            devtools.on(f"Network.{event}", getattr(loaded, event))
        devtools.send("Network.enable")
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        speed, latency = NETWORKS[network]
        devtools.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": latency, "downloadThroughput": speed, "uploadThroughput": speed},
        )
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": slowdown})
        answer = page.goto(place.origin + path.format(tenant=place.tenant), wait_until="load")
        if answer is None or answer.status != 200:
            sys.exit(f"{place.origin}{path} answered {answer.status if answer else 'nothing'}.")
        # A slow machine may paint later than it loads. The pages forbid the script by which Playwright would wait.
        deadline = time.monotonic() + PATIENCE / 1000
        while not page.evaluate("'largest' in window.paints"):
            if time.monotonic() > deadline:
                sys.exit(f"{place.origin}{path} was not painted within {PATIENCE // 1000} s.")
            page.wait_for_timeout(PAUSE)
        page.wait_for_timeout(QUIET)
        paints = page.evaluate("window.paints")
        metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
        times = (paints["first-contentful-paint"], paints["largest"], metrics["TaskDuration"] * 1000)
        return {**dict(zip(TIMES, times, strict=True)), **dict(loaded.figures())}
    finally:
        context.close()


class Loaded:
    """What a page has loaded, from events of Chromium's Network domain, whose names its methods have."""

    def __init__(self) -> None:
        self.kind: dict[str, str] = {}
        self.sent: dict[str, float] = defaultdict(float)
        self.whole: dict[str, float] = defaultdict(float)

    def requestWillBeSent(self, event: dict[str, Any]) -> None:
        # A `data:` address is part of the file that has it.
        if event["request"]["url"].startswith("http"):
            self.kind[event["requestId"]] = KINDS.get(event.get("type", ""), "other")

    def responseReceived(self, event: dict[str, Any]) -> None:
        if event["requestId"] in self.kind:
            self.kind[event["requestId"]] = KINDS.get(event["type"], "other")

    def dataReceived(self, event: dict[str, Any]) -> None:
        self.whole[event["requestId"]] += event["dataLength"]

    def loadingFinished(self, event: dict[str, Any]) -> None:
        self.sent[event["requestId"]] = event["encodedDataLength"]

    def figures(self) -> Iterator[tuple[str, float]]:
        yield "requests", len(self.kind)
        yield "kB sent", sum(self.sent[each] for each in self.kind) / 1000
        yield "kB", sum(self.whole[each] for each in self.kind) / 1000
        for kind in (*KINDS.values(), "other"):
            files = [each for each in self.kind if self.kind[each] == kind]
            yield f"{kind} kB sent", sum(self.sent[each] for each in files) / 1000
            yield f"{kind} kB", sum(self.whole[each] for each in files) / 1000


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def report(name: str, found: list[dict[str, float]]) -> None:
    """Print the figures of a page, a line each, and with a baseline its figure and the ratio to it."""
    print(f"\n{name}" + (f"{'now':>{27 - len(name)}} {'baseline':>9} {'ratio':>6}" if found[1:] else ""))
    for figure, value in found[0].items():
        line = f"  {figure:14} {value:10,.1f}"
        if found[1:]:
            before = found[1][figure]
            line += f" {before:9,.1f} {value / before:6.2f}" if before else f" {before:9,.1f}      –"
        print(line, flush=True)


if __name__ == "__main__":
    main()

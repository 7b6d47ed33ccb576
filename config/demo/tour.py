"""A tour of the main path of a running demo, over HTTP only, in the roles of its users.

Every step compares the product's answer with the expected one; the first difference ends the tour. The tour leaves
behind what a person would: a request, its reviews, a grant, a key, some calls, a report.

It says its results in the language of the shell. It reads pages in English, and says in English what it did not expect
on them.
"""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import openai
from django.utils.translation import gettext as _

from config.demo.browser import Browser, Page, UnexpectedAnswer
from config.demo.load import DEMO_MODEL
from config.demo.provider import OUTSIDE_MODEL
from config.demo.visit import Difference, Visit, expect, wait_for
from core.joined import listed

PATIENCE_SECONDS = 30
# A call must be in the ledger within this time.
LEDGER_SECONDS = 2
PROMPT: Any = [{"role": "user", "content": "Say hello to Aurora Bank in one sentence."}]


def browse_and_request(visit: Visit) -> str:
    me = visit.account("developer", "aurora-bank")
    visit.developer.sign_in(me["email"], me["password"])
    catalog = visit.developer.open("/t/aurora-bank/models/")
    expect("Model catalog" in catalog.text, "The catalog page has another title.")
    found = visit.developer.open(f"/t/aurora-bank/models/?q={DEMO_MODEL}")
    model = visit.developer.open(found.link(f"/models/{DEMO_MODEL}/"))
    expect("$0.15" in model.text, "The model's page does not show its input price.")
    form = visit.developer.open(f"/t/aurora-bank/models/{DEMO_MODEL}/request/")
    sent = visit.developer.submit(
        form,
        form.form("purpose", "expected_tokens_per_day"),
        purpose="Draft replies to account letters. A clerk reads and sends every one.",
        data_class="internal",
        expected_tokens_per_day="150000000",
        requests_per_minute="3",
    )
    expect("/requests/" in sent.url, f"Sending the request led to {sent.url}.")
    visit.request_path = urlsplit(sent.url).path
    shown = visit.api(me, f"access-requests/{visit.request_path.rstrip('/').rsplit('/', 1)[-1]}/")
    visit.tracks = [review["track"] for review in shown["reviews"]]
    expect("cost" in visit.tracks, f"So many tokens need a cost review; the request names {visit.tracks}.")
    for track in visit.tracks:
        expect(track in sent.text.lower(), f"The page of the request does not name its {track} review.")
    return _("%(who)s found %(model)s in the catalog and asked for it; reviews: %(tracks)s") % {
        "who": me["email"],
        "model": DEMO_MODEL,
        "tracks": listed(visit.tracks),
    }


def review(visit: Visit) -> Iterator[str]:
    """Let a reviewer decide each track that the rules require."""
    for track in visit.tracks:
        role = f"{track}-reviewer"
        account = visit.account(role)
        reviewer = Browser(visit.console)
        reviewer.sign_in(account["email"], account["password"], at="/admin/login/?next=/admin/")
        queue = reviewer.open("/admin/catalog/review/")
        request_id = visit.request_path.rstrip("/").rsplit("/", 1)[-1]
        page = _find_review(reviewer, queue, request_id)
        for fact in ("Risk tier", "Data class", "Expected monthly cost"):
            expect(fact.lower() in page.text.lower(), f"The review page does not show: {fact}.")
        done = reviewer.submit(
            page,
            page.form("verdict", "comment"),
            verdict="approve",
            comment=f"Looked at by {role}: fits the purpose.",
        )
        expect("approved" in done.text.lower(), f"After approving, the page says: {done.text[:200]}")
        yield _("%(who)s found the request in the %(track)s queue and approved it with a comment") % {
            "who": account["email"],
            "track": track,
        }


def _find_review(reviewer: Browser, queue: Page, request_id: str) -> Page:
    for link in queue.links:
        if re.search(r"/admin/catalog/review/[0-9a-f-]{36}/", link):
            page = reviewer.open(link)
            if request_id in page.html:
                return page
    raise Difference("The reviewer's queue does not hold the request.")


def claim(visit: Visit) -> str:
    def ready() -> Page | None:
        page = visit.developer.open(visit.request_path)
        return page if any("/claim/" in link for link in page.links) else None

    page = wait_for(ready, "The approved request offers a key to claim", PATIENCE_SECONDS * visit.patience)
    path = page.link("/claim/")
    confirm = visit.developer.open(path)
    claimed = visit.developer.submit(confirm, confirm.form_to_itself())
    found = re.search(r"qm_[A-Za-z0-9_-]{40,}", claimed.html)
    expect(found is not None, "The page after claiming shows no secret.")
    assert found is not None
    visit.secret = found.group()
    visit.key_id = path.rstrip("/").split("/")[-2]
    expect(
        claimed.response.headers.get("Cache-Control", "").find("no-store") >= 0, "The secret may be cached."
    )
    again = visit.developer.open("/t/aurora-bank/keys/")
    expect(visit.secret not in again.html, "The list of keys shows the secret again.")
    return _("the key %(key)s… was claimed: its secret was shown once") % {"key": visit.secret[:8]}


def call(visit: Visit) -> Iterator[str]:
    client = visit.openai()

    def first_answer() -> Any:
        try:
            return client.chat.completions.create(model=DEMO_MODEL, messages=PROMPT)
        except (openai.AuthenticationError, openai.NotFoundError):
            # The gateway has not read the new revision yet.
            return None
        # The project's current minute still includes the calls of an earlier tour.
        except openai.RateLimitError as error:
            time.sleep(int(error.response.headers["retry-after"]))
            return None

    started = time.monotonic()
    answer = wait_for(first_answer, "The gateway accepts the key", 75)
    waited = time.monotonic() - started
    _count(visit, answer.usage.total_tokens)
    said = answer.choices[0].message.content[:60]
    yield _("plain chat after %(seconds)s s: %(said)s, %(tokens)s tokens") % {
        "seconds": f"{waited:.1f}",
        "said": repr(said),
        "tokens": answer.usage.total_tokens,
    }

    pieces, usage = [], None
    stream = client.chat.completions.create(
        model=DEMO_MODEL, messages=PROMPT, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        pieces += [choice.delta.content or "" for choice in chunk.choices]
        usage = chunk.usage or usage
    expect(usage is not None, "The stream told no usage.")
    assert usage is not None
    _count(visit, usage.total_tokens)
    yield _("streamed chat in %(pieces)s pieces, %(tokens)s tokens") % {
        "pieces": len(pieces),
        "tokens": usage.total_tokens,
    }

    vectors = client.embeddings.create(model=DEMO_MODEL, input=["account letter", "reminder"])
    _count(visit, vectors.usage.total_tokens)
    yield _("embeddings: %(vectors)s vectors of %(numbers)s numbers") % {
        "vectors": len(vectors.data),
        "numbers": len(vectors.data[0].embedding),
    }

    names = [model.id for model in client.models.list()]
    expect(names == [DEMO_MODEL], f"The key lists the models {names}.")
    operator = visit.account("operator")
    deployments = visit.api(operator, "deployments/")["results"]
    served = next((each for each in deployments if each["model"] == DEMO_MODEL), None)
    expect(
        served is not None and served["state"] == "healthy",
        f"The deployment is {served and served['state']}.",
    )
    assert served is not None
    yield _("models: %(model)s, served by %(deployment)s on cluster %(cluster)s, which is healthy") % {
        "model": names[0],
        "deployment": served["name"],
        "cluster": served["cluster"],
    }

    staff = Browser(visit.console)
    staff.sign_in(operator["email"], operator["password"], at="/admin/login/?next=/admin/")

    def caught_up() -> bool:
        # The columns Service and Lag.
        return "in service none" in staff.open("/admin/gateway/gateway/").text

    wait_for(caught_up, "The gateway acknowledges the newest revision", PATIENCE_SECONDS * visit.patience)
    yield _("the gateway has acknowledged the newest revision of its configuration")


def call_provider(visit: Visit) -> Iterator[str]:
    """Request a model that a provider serves, have it approved, and call it with a key of its own."""
    outside = Visit(visit.installation, visit.patience)
    me = visit.account("developer", "aurora-bank")
    outside.developer = visit.developer
    form = visit.developer.open(f"/t/aurora-bank/models/{OUTSIDE_MODEL}/request/")
    sent = visit.developer.submit(
        form,
        form.form("purpose", "expected_tokens_per_day"),
        purpose="Compare answers of a provider with our own.",
        data_class="public",
        expected_tokens_per_day="1000",
    )
    outside.request_path = urlsplit(sent.url).path
    shown = visit.api(me, f"access-requests/{outside.request_path.rstrip('/').rsplit('/', 1)[-1]}/")
    outside.tracks = [review["track"] for review in shown["reviews"]]
    for _line in review(outside):
        pass
    claim(outside)
    client = outside.openai()

    def first_answer() -> Any:
        try:
            return client.chat.completions.create(model=OUTSIDE_MODEL, messages=PROMPT)
        except (openai.AuthenticationError, openai.NotFoundError):
            return None

    answer = wait_for(first_answer, "The gateway calls the provider", 75)
    expect(answer.model == OUTSIDE_MODEL, f"The answer names the model {answer.model}.")
    day = visit.today(me).isoformat()
    wait_for(
        lambda: [
            row
            for row in visit.api(
                me, "costs/", tenant="aurora-bank", start=day, end=day, group_by="model,key"
            )["rows"]
            if row["key"] == outside.key_id
        ],
        "The call to the provider in the ledger",
        LEDGER_SECONDS * visit.patience,
    )
    yield _("%(model)s, which a provider serves: %(said)s") % {
        "model": OUTSIDE_MODEL,
        "said": repr(answer.choices[0].message.content[:60]),
    }


def _count(visit: Visit, tokens: int) -> None:
    visit.tokens += tokens
    visit.calls += 1


def refuse(visit: Visit) -> Iterator[str]:
    try:
        visit.openai("qm_nobody").models.list()
        raise Difference("An unknown key was accepted.")
    except openai.AuthenticationError as error:
        expect(error.code == "invalid_api_key", f"401 came with code {error.code}.")
        yield _("an unknown key: 401 %(code)s") % {"code": error.code}
    try:
        visit.openai().chat.completions.create(model="gpt-4o", messages=PROMPT)
        raise Difference("A model that was not granted answered.")
    except openai.NotFoundError as error:
        expect(error.code == "model_not_found", f"404 came with code {error.code}.")
        yield _("a model not granted: 404 %(code)s") % {"code": error.code}
    try:
        # Three calls a minute are allowed; the tour has made some already.
        for _call in range(4):
            answer: Any = visit.openai().chat.completions.create(model=DEMO_MODEL, messages=PROMPT)
            _count(visit, answer.usage.total_tokens)
        raise Difference("More than three calls a minute were answered.")
    except openai.RateLimitError as error:
        wait = error.response.headers.get("retry-after")
        expect(bool(wait), "429 came without Retry-After.")
        expect(visit.calls == 3, f"The limit of 3 refused call number {visit.calls + 1}.")
        yield _("call number %(number)s within a minute: 429 %(code)s, Retry-After %(seconds)s s") % {
            "number": visit.calls + 1,
            "code": error.code,
            "seconds": wait,
        }


def cost(visit: Visit) -> str:
    """Expect the same total on the page, in the API, and from usage, within two seconds of the last call."""
    me = visit.account("developer", "aurora-bank")
    today = visit.today(me)
    window = {"tenant": "aurora-bank", "start": today.isoformat(), "end": today.isoformat()}

    def mine() -> dict[str, Any] | None:
        for row in visit.api(me, "costs/", group_by="model,key", **window)["rows"]:
            if row["key"] == visit.key_id and row["calls"] == visit.calls:
                return dict(row)
        return None

    began = time.monotonic()
    row = wait_for(mine, f"{visit.calls} calls in the ledger", LEDGER_SECONDS * visit.patience)
    waited = time.monotonic() - began
    tokens = row["tokens"]
    expect(tokens == visit.tokens, f"The ledger holds {tokens} tokens, the engine said {visit.tokens}.")
    expect(row["unpriced_calls"] == 0, f"{row['unpriced_calls']} calls are not priced.")

    month = window | {"start": today.replace(day=1).isoformat()}
    by_api = visit.api(me, "costs/", group_by="day,model", **month)
    total = Decimal(by_api["total"]["cost"])
    in_rows = sum((Decimal(row["cost"]) for row in by_api["rows"]), Decimal(0))
    expect(in_rows == total, f"The API's rows sum to {in_rows}, its total is {total}.")
    finance, account = Browser(visit.console), visit.account("finance", "aurora-bank")
    finance.sign_in(account["email"], account["password"])
    by_page = _spend_on(finance.open("/t/aurora-bank/cost/"))
    expect(total == by_page, f"The page says {by_page}, the API {total}.")
    return _(
        "%(calls)s calls in the ledger after %(seconds)s s: %(tokens)s tokens cost %(cost)s USD; %(who)s sees "
        "%(total)s USD this month, as the API says"
    ) % {
        "calls": visit.calls,
        "seconds": f"{waited:.1f}",
        "tokens": tokens,
        "cost": row["cost"],
        "who": account["email"],
        "total": total,
    }


def _spend_on(page: Page) -> Decimal:
    found = re.search(r'<data id="spend" value="([0-9.]+)"', page.html)
    if not found:
        raise UnexpectedAnswer(f"{page.url} shows no spend.")
    return Decimal(found.group(1))


def report(visit: Visit) -> str:
    """Expect the controller's CSV of the last full month to sum to the page's total."""
    last = visit.today(visit.account("developer", "aurora-bank")).replace(day=1) - timedelta(days=1)
    month = f"{last:%Y-%m}"
    controller = Browser(visit.console)
    account = visit.account("controller")
    controller.sign_in(account["email"], account["password"], at="/admin/login/?next=/admin/")
    form = controller.open("/admin/exports/export/new/")
    sent = controller.submit(
        form, form.form("tenant", "month"), tenant=_choice(form, "Aurora Bank"), month=month
    )
    detail = urlsplit(sent.url).path

    def finished() -> Page | None:
        page = controller.open(detail)
        return page if any("/download/" in link for link in page.links) else None

    done = wait_for(finished, f"The report of {month}", PATIENCE_SECONDS * visit.patience)
    link = done.link("/download/")
    file = controller.session.get(f"{visit.console}{link}" if link.startswith("/") else link, timeout=60)
    rows = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"))))
    total = sum((Decimal(row["amount"]) for row in rows if row["amount"]), Decimal(0))
    page = _spend_on(controller.open(f"/t/aurora-bank/cost/?month={month}"))
    expect(total == page, f"The file sums to {total}, the page says {page}.")
    expect(len(rows) > 0, "The report is empty.")
    return _("%(who)s downloaded %(month)s: %(rows)s rows sum to %(total)s USD, as the page says") % {
        "who": account["email"],
        "month": month,
        "rows": len(rows),
        "total": total,
    }


def _choice(page: Page, label: str) -> str:
    found = re.search(rf'<option value="([^"]+)"[^>]*>\s*{re.escape(label)}', page.html)
    if not found:
        raise UnexpectedAnswer(f"{page.url} offers no {label}.")
    return found.group(1)


STEPS: list[tuple[str, Callable[[Visit], str | Iterator[str]]]] = [
    ("2", browse_and_request),
    ("3", review),
    ("4", claim),
    ("5", call),
    ("6", refuse),
    ("6", call_provider),
    ("7", cost),
    ("8", report),
]


def walk(installation: dict[str, Any], *, patience: float = 1.0) -> Iterator[str]:
    """Run the steps one after the other; yields a line for each result.

    Raises:
        Difference, UnexpectedAnswer: a result is not the expected one.
    """
    visit = Visit(installation, patience)
    for number, step in STEPS:
        seen = step(visit)
        for line in [seen] if isinstance(seen, str) else seen:
            yield f"{number}  {line}"


def read_installation(path: str) -> dict[str, Any]:
    """The demo's addresses and accounts, from its private file."""
    with open(path, encoding="utf-8") as file:
        return dict(json.load(file))

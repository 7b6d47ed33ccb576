"""Which gateways count limits and quotas together, by what they report (see deployments/quota_counts.py)."""

from __future__ import annotations

from deployments.quota_counts import QuotaCounts
from gateway.models import Gateway


def quota_counts() -> QuotaCounts:
    """The gateways of ours that are alive, and in how many places they count. One query.

    A LiteLLM proxy with our plugin and gateways of version 1 heed no quotas.
    """
    reports = [
        report
        for report in Gateway.objects.alive().values_list("report", flat=True)
        if not report.get("kind") and report.get("contract_version", 1) > 1
    ]
    shared = {place for report in reports if (place := report.get("counts_in"))}
    alone = sum(1 for report in reports if not report.get("counts_in"))
    return QuotaCounts(gateways=len(reports), places=len(shared) + alone)

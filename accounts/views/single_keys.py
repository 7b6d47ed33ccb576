"""Whether keys without Ctrl do something on a person's pages."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from accounts.actions import choose_single_keys
from accounts.permissions import signed_in
from accounts.views.language import page_before


@never_cache
@require_POST
@login_required
def single_keys_choice(request: HttpRequest) -> HttpResponse:
    """Switch single-key shortcuts on (`work=yes`) or off for the signed-in person, and go back to the page."""
    choose_single_keys(signed_in(request), work=request.POST.get("work") == "yes")
    return redirect(page_before(request))

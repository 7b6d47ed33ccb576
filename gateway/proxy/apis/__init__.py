"""Endpoints for more than text: what each reads of a call, and how its answers are checked, passed on and counted."""

"""OpenAI's Responses API: a call as items, an answer as items, a stream as typed events.

    client ─▶ parsed ─▶ backend ─▶ answer, or stream ─▶ names ─▶ client

Only backends that speak it get such calls. Nothing is translated.
"""

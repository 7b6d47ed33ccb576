"""HTTP/1.1 on both sides of the gateway: to backends (`pool`, `backend`) and from clients (`server`, `exchange`).

The parser is httptools' (llhttp), in its strict mode. This package knows nothing of models, keys or limits.
"""

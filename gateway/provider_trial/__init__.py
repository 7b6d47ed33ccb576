"""Try a real provider with a real key: some small calls through a gateway of its own, and what held of the answers.

`console` configures and hears that gateway in place of the console, `process` starts it, `calls` asks it, and `checks`
says what must hold. `manage.py try_provider` puts them together (docs/providers-for-real.md).
"""

"""The data plane: an OpenAI-compatible proxy that checks keys, enforces limits and meters every call.

Started as `python -m gateway.proxy`. It imports no Django and no database; all it knows comes from the
contract.
"""

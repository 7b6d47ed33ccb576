"""Reading the public LiteLLM price map: from its entries to offers, and from offers to models.

`names` splits an entry's key into provider, region and public model name; `entries` turns one entry into an
offer or says why it is refused; `gather` makes one model of the offers that share a name. All three are
pure: no database, no network, no clock. The rules they follow are told in docs/catalog.md.
"""

"""Reading the public LiteLLM price map: from its entries to offers, and from offers to models.

`names` splits an entry's key into provider, region and public model name. `entries` turns one entry into an
offer or explains why it is rejected. `gather` combines offers with the same name into one model. All three
are pure: no database, no network, no clock. docs/catalog.md explains the rules that they follow.
"""

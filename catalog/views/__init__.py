"""A tenant's pages about models: the catalog, requests, keys, and the tenant's home page."""

"""Pages of a tenant that know of models: the catalog, requests, keys, and the tenant's home."""

"""People, groups and roles from the organization's directory: OpenID Connect, SCIM and group mappings."""

"""People, groups and roles as the organization's directory says: OpenID Connect, SCIM, group mappings."""

"""People, groups and roles as the organisation's directory says: OpenID Connect, SCIM, group mappings."""

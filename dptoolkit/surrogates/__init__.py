"""Stand-ins for what takes long to compute; each has the interface of what it replaces."""

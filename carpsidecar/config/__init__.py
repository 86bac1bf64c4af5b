"""Configuration: one schema, in `schema`; flags, environment and file all end there."""

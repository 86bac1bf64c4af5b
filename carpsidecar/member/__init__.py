"""All that decides for one vhid, sans-IO: events in, actions out. Imports only `protocol`."""

"""Imports all that the engine and the reporter may ask for, from inside the tree; the build runs it there."""

import importlib
import pkgutil
import ssl
import sys

import h11  # noqa: F401
import kubernetes.client.configuration
import kubernetes.client.rest
import kubernetes.config
import prometheus_client  # noqa: F401
import urllib3  # noqa: F401
import yaml

import carpsidecar

for module in pkgutil.walk_packages(carpsidecar.__path__, "carpsidecar."):
    importlib.import_module(module.name)
kubernetes.client.rest.RESTClientObject(kubernetes.client.configuration.Configuration())
ssl.create_default_context()
assert yaml.__with_libyaml__
print(f"{len(sys.modules)} modules")

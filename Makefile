# Two commands do everything: `make demo` and `make test`. See README.md for the others.
PYTHON = .venv/bin/python
# Most tests wait rather than work, so three parts run beside each other; see tests/conftest.py.
TOGETHER = -n 3 --no-loadscope-reorder

.PHONY: demo test lint format bench bench-quick soak chart manifests docs clean

demo:
	@.ci/setup demo
	@$(PYTHON) -m carpsidecar demo $(ARGS)

test: lint
	@$(PYTHON) -m pytest $(if $(ARGS),$(ARGS),$(TOGETHER))

lint:
	@.ci/setup test
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy

format:
	@.ci/setup test
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

# The chart: check it, and make the plain manifests from it.
chart:
	@.ci/setup test
	@$(PYTHON) -m pytest tests/chart $(ARGS)

manifests:
	@.ci/setup test
	@mkdir -p build
	@charts/plain-manifests >build/manifests.yaml
	@mv build/manifests.yaml docs/kubernetes/carpsidecar.yaml

# The manual, into site/; site/index.html opens in a browser as it is.
docs:
	@.ci/setup test
	@$(PYTHON) -m docs.tools.states docs/img/states.svg
	@$(PYTHON) -m docs.tools.settings docs/reference/settings.md
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

# Two and a half hours in all; `make bench ARGS=failover` takes half an hour, and the others less each: docs/benchmark.md.
bench:
	@.ci/setup test
	@$(PYTHON) -m bench $(ARGS)

# Three minutes at most; its numbers go to build/ and are not shown.
bench-quick:
	@.ci/setup test
	@$(PYTHON) -m bench --quick $(ARGS)

# Random faults for MINUTES (60 if not given); SEED=… repeats the faults of a run.
soak:
	@.ci/setup test
	@$(PYTHON) -m tests.network.soak --minutes $(or $(MINUTES),60) $(if $(SEED),--seed $(SEED))

clean:
	rm -rf .venv build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What people without Python get: one file, an image, packages, and all of them for a release. See docs/install.md.
.PHONY: binary image packages release publish release-test lock

binary:
	@.ci/binary
	@rm -rf build/tree
	@build/venv/bin/python packaging/binary/tree.py build/tree
	@build/venv/bin/python packaging/binary/build.py dist/carpsidecar build/tree

image:
	@.ci/binary image
	@python3 packaging/image/build.py dist/carpsidecar-image.tar $(PYTHON_IMAGE)

# deb and rpm, for this machine.
packages: binary
	@.ci/binary release
	@build/venv/bin/python packaging/package/build.py build/tree dist

# All that a release has, in dist/, for amd64 and arm64: each that this machine can build, or ARCHITECTURES="...".
release:
	@.ci/binary release
	@build/venv/bin/python packaging/release/assemble.py dist $(ARCHITECTURES)

# Pushes the image of all architectures in dist/ and the chart to REGISTRY=host/path.
publish:
	@.ci/setup demo
	@$(PYTHON) packaging/release/publish.py $(or $(REGISTRY),$(error give REGISTRY=host/path)) dist

# Tests of what `make release` has put into dist/, and the interoperability suite run by its binary.
release-test:
	@.ci/binary test
	@CARPSIDECAR_RELEASE=1 $(PYTHON) -m pytest tests/binary $(ARGS)
	@CARPSIDECAR_COMMAND=$$(ls $(CURDIR)/dist/carpsidecar-linux-$$(dpkg --print-architecture)) $(PYTHON) -m pytest tests/network/interop $(ARGS)

lock:
	cd packaging/binary && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements.in --output-file requirements.txt
	cd packaging/release && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" requirements.in --output-file requirements.txt

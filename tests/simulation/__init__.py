"""Years of faults in minutes: the real election, receiver and authenticators in seeded worlds of virtual time.

`world` is time and the wire, `kernel` what a machine does with leased addresses, `engine` the engine's part, `node`
a machine, `scenario` and `faults` what a seed stands for; `invariants` must hold whatever happens, `peace` and
`probes` say what becomes of a healthy network. A failure prints its seed, and the command that tells that world's
story: `.venv/bin/python -m tests.simulation.replay SEED`.
"""

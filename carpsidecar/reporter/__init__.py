"""The reporter: everything that faces people and the cluster, in a process of its own, without any capability."""

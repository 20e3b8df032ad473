"""Evaluations: one file each, named by `eval.tasks.NAME.kind`."""

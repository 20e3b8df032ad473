"""Optimizers made of optax transformations, and the settings that go by the names of parameters."""

"""A trained model as a folder of its own, and its use."""

"""The other process: finding its Python, giving it work, listening, stopping it."""

"""Importers: published weights become checkpoints. Nothing in a published file is executed."""

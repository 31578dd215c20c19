"""Objectives: one loss per file, each with its formula, its shapes and where it comes from."""

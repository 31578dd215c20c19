"""The Processing algorithms: one file each, over one base."""

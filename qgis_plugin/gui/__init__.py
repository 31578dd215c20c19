"""Menu and dialogs; imported only when QGIS has a window."""

"""Long work in a folder: begun, resumed, shared by processes, and published whole."""

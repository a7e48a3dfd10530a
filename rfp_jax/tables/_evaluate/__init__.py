"""The run that writes a relevance table, and the table's form on the disk."""

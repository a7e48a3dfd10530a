"""A relevance table as one HTML file."""

"""Views of a frozen program: relevance, heatmap, gate, audit."""

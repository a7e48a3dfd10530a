"""The files of which a page of a map is made; `leaflet.*` are Leaflet 1.9.4 (see LICENSE)."""

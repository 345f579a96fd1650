"""One module a road: window -> requests -> Arrow record batches. Nothing here writes: assets join the two."""

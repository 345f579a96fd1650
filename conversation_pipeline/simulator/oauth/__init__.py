"""Tokens: client credentials and JWT bearer, and who a token stands for."""

"""Cipher providers; nothing else in the house calls a cipher library for SM3 or SM4."""

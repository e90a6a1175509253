"""The users' own columns of documents: how they are kept beside `documents/`, shown as `extra`, and given back."""

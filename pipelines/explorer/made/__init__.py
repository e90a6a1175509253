"""What the explorer makes of a workspace once and keeps in the user's cache folder, by fingerprint.

`facts` with the tables that `summaries` counts from it, an index of words (`search`), and places on the map (`places`).
`cache` is the folder; `sampling` chooses documents; `background` makes what takes long.
"""

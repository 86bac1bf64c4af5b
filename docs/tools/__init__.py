"""What the manual is made with: hooks of MkDocs, and drawings made from the code."""

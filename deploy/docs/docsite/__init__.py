"""The generated reference pages of the documentation site: each is made from the code that it describes."""

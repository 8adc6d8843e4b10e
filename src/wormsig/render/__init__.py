"""Reports and statuses as text and JSON for people and scripts. Pure: values in, strings out.

What comes from outside goes through `sanitize` here and nowhere earlier. Nothing is decided here, and only
`terminal` knows of streams and colour.
"""

"""
The Conversation Transcript Export tool of Setup: asked for by hand, once in seven days, as ZIP parts behind links.

No public text tells the tool's request endpoint or the archive's layout. What is served here is the assumption of the
bulk-export reference (section 7); its paths begin with /setup and /sim so that nobody takes them for a public API.
"""

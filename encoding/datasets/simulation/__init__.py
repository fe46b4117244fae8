"""A simulated experiment with known ground truth: images drawn by code, and responses of a simulated cortex.

``things``, ``places`` and ``patterns`` draw with a ``pen`` in colours of the ``palette``; ``scenes`` composes images of them. ``cortex``
defines areas, receptive fields and tuning on the surface; ``responses`` simulates that cortex's responses to the images.
"""

"""A simulated experiment with known truth: pictures drawn by code, and a cortex that answers them.

``things``, ``places`` and ``patterns`` draw with a ``pen`` in colours of the ``palette``; ``scenes`` composes
pictures of them. ``cortex`` lays areas, receptive fields and tuning on the surface; ``responses`` shows the
pictures to that cortex.
"""

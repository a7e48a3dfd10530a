<<<<<<< HEAD
"""The transformation: trace a call, freeze it once, push contributions or pull outputs."""
=======
"""The transformation itself; private."""
>>>>>>> dep

"""How hypothesis looks for counterexamples: anew in every run at a desk, at the same places in every run of CI.

No example has a deadline: how fast a machine is, is no property of the program.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") == "true" else "desk")

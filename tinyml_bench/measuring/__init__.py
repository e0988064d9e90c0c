"""From a case to a measurement: workers, evaluation, latency, devices, diagnosis."""

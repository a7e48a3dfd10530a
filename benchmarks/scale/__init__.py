"""Large jobs: costs from measured ones, and the plan of many processes that fail, simulated."""

"""The connector: takes workload traffic, decides per flow, forwards. `daemon` composes it."""

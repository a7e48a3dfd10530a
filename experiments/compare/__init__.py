"""Every method on one trained network and one batch: relevance, agreement, cost, faithfulness."""

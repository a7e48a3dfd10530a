"""Every preset and composite on several trained networks: faithfulness, sanity, cost."""

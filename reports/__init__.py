"""From tidy results to statistics, tables and figures. Knows neither the model nor the orchestrator."""

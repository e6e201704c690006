"""The engine on recorded events: latency, queues, fees and funding by stated assumptions."""

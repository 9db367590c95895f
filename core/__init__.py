"""The rules of metering and billing: no HTTP, no queue, no vendor, no environment."""

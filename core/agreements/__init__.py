"""What was agreed: agreements, amendments, fee schedules, commitments and units."""
